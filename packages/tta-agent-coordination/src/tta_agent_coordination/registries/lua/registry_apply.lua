--! registry
-- Carries out registrations and deregistrations, in their order. ARGV: now, ms to live, ms until a
-- silent agent is forgotten, a new epoch (used if there is none), then for each: what to do, the agent,
-- the nonce, what it can do. What to do: `+` register; `?` register again unless somebody else has, or
-- it is over; `-` deregister this registration; `!` deregister whoever it is, once for this nonce.
-- Returns a letter for each: `k` done, `n` nothing was there, `r` refused: the registration is over.
local adds = false
for i = 5, #ARGV, 4 do adds = adds or ARGV[i] == '+' or ARGV[i] == '?' end
begin(not adds)
life, forget = tonumber(ARGV[2]), tonumber(ARGV[3])
if epoch == '' then epoch = ARGV[4] end
call('HSET', S, 't', ms(math.max(last, now)), 'm', ARGV[2], 'f', ARGV[3], 'e', epoch)

local letters, incarnations = {}, tonumber(call('HGET', S, 'n') or 0)
for i = 5, #ARGV, 4 do
  local op, name, nonce, words = ARGV[i], ARGV[i + 1], ARGV[i + 2], ARGV[i + 3]
  local holder = call('HGET', N, name)
  local held = holder and name .. ' ' .. holder
  local letter = 'k'
  if op == '+' or op == '?' then
    if holder ~= nonce then
      if call('ZSCORE', O, nonce) or (op == '?' and holder) then
        letter = 'r'
      else
        if holder then
          retire(holder)
          drop(held, call('HGET', I, held) or '')
        end
        -- A time, so that it is higher than all before also where those were lost.
        incarnations = math.max(incarnations + 1, now)
        local incarnation = ms(incarnations)
        call('HSET', S, 'n', incarnation)
        local info = ms(life) .. ' ' .. incarnation .. ' ' .. ms(now)
          .. (words ~= '' and ' ' .. words or '')
        local made = name .. ' ' .. nonce
        call('HSET', N, name, nonce)
        call('HSET', I, made, info)
        call('ZADD', L, ms(now + life), made)
        for _, word in ipairs(capabilities(info)) do call('SADD', R .. ':k:' .. word, made) end
        change('joined', made, info, true)
      end
    end
  elseif op == '!' and call('ZSCORE', O, nonce) then
    letter = 'n'
  else
    retire(nonce)
    if holder and (op == '!' or holder == nonce) then
      retire(holder)
      local info = call('HGET', I, held) or ''
      drop(held, info)
      change('left', held, info)
    else
      letter = 'n'
    end
  end
  letters[#letters + 1] = letter
end
done()
return table.concat(letters)
