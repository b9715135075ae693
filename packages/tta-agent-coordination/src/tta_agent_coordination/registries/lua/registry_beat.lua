--! registry
-- Heartbeats of agents. ARGV: now, ms to live, ms until a silent agent is forgotten, then registrations.
-- Returns a letter for each: `k` it lives on, `u` unknown, `r` it is another's now.
begin(true)
if life == 0 or seen[6] ~= ARGV[2] or seen[7] ~= ARGV[3] then
  life, forget = tonumber(ARGV[2]), tonumber(ARGV[3])
  call('HSET', S, 't', ms(math.max(last, now)), 'm', ARGV[2], 'f', ARGV[3])
end

local function letter(registration) -- of one that may not be alive
  if call('ZSCORE', L, registration) then return 'k' end
  if call('ZREM', X, registration) == 1 then
    call('ZADD', L, ms(now + life), registration)
    change('back', registration, call('HGET', I, registration) or '', true)
    return 'k'
  end
  local name, nonce = string.match(registration, '^(%S+) (%S+)$')
  if call('HEXISTS', N, name) == 1 or call('ZSCORE', O, nonce) then return 'r' end
  return 'u'
end

local letters, until_ = {}, ms(now + life)
for from = 4, #ARGV, MANY do
  local to, scores, n = math.min(#ARGV, from + MANY - 1), {}, 0
  for i = from, to do
    scores[n + 1], scores[n + 2] = until_, ARGV[i]
    n = n + 2
  end
  -- Only what is alive has a time that can change.
  if call('ZADD', L, 'XX', 'CH', unpack(scores)) == n / 2 then
    letters[#letters + 1] = string.rep('k', n / 2)
  else
    for i = from, to do letters[#letters + 1] = letter(ARGV[i]) end
  end
end
done()
return table.concat(letters)
