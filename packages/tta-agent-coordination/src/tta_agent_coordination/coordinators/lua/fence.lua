--! mailbox
-- Guards an effect. ARGV: now, fence, holder, mode: `claim`, for how many ms; `done`, for how many ms that
-- is known; `free`.
-- A fence is a text: c (claimed) or d (done), until when that holds, by whom. A holder claims once: when that
-- is over, a copy of it must claim nothing, since nobody would give it up.
-- Returns for `claim`: 0 it is done, 1 claimed, 2 somebody else has it; else 1, or 0 if it is not ours.
local key, holder, mode, span = base .. ':o:' .. ARGV[2], ARGV[3], ARGV[4], tonumber(ARGV[5])
local state, till, by = string.match(call('GET', key) or '', '^(%a) (%d+) (%S+)$')
if mode == 'claim' then
  local holds = state and tonumber(till) > now
  if holds and state == 'd' then return 0 end
  if answered(holder) then return 2 end
  if holds and by ~= holder then return tonumber(answer(holder, 2)) end
  call('DEL', key) -- needs no memory: what follows may then write on a full server
  call('SET', key, 'c ' .. ms(now + span) .. ' ' .. holder, 'PX', ms(span + KEEP))
  return 1
end
if mode == 'free' or by ~= holder then answer(holder, 2) end
if by ~= holder then return 0 end
if mode == 'free' then
  call('DEL', key)
elseif state == 'c' then
  call('DEL', key) -- as above
  call('SET', key, 'd ' .. ms(now + span) .. ' ' .. holder, 'PX', ms(span + KEEP))
end
return 1
