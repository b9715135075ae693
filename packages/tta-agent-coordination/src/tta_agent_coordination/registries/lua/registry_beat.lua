--! registry
-- Heartbeats of agents. ARGV: now, ms to live, ms until a silent agent is forgotten, then agents and
-- their nonces. Returns a letter for each: `k` it lives on, `u` unknown, `r` it is another's now.
begin(true)
life, forget = tonumber(ARGV[2]), tonumber(ARGV[3])
call('HSET', S, 't', ms(math.max(last, now)), 'm', ARGV[2], 'f', ARGV[3])

local letters = {}
for from = 4, #ARGV, 2 * MANY do
  local to, names = math.min(#ARGV, from + 2 * MANY - 1), {}
  for i = from, to, 2 do names[#names + 1] = ARGV[i] end
  local infos, scores, living = call('HMGET', I, unpack(names)), {}, {}
  local until_ = ms(now + life)
  for n, name in ipairs(names) do
    local nonce, info = ARGV[from + 2 * n - 1], infos[n]
    if info and string.find(info, nonce, 1, true) == 1 and string.byte(info, #nonce + 1) == 32 then
      scores[#scores + 1], scores[#scores + 2] = until_, name
      living[#living + 1] = n
      letters[#letters + 1] = 'k'
    elseif info or call('ZSCORE', O, nonce) then
      letters[#letters + 1] = 'r'
    else
      letters[#letters + 1] = 'u'
    end
  end
  if #scores > 0 and call('ZADD', L, unpack(scores)) > 0 then
    for _, n in ipairs(living) do
      if call('ZREM', X, names[n]) == 1 then
        change('back', names[n], string.match(infos[n], '^%S+ %S+ (%S+)'), infos[n])
      end
    end
  end
end
done()
return table.concat(letters)
