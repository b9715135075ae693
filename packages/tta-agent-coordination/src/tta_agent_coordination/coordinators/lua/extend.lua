--! mailbox
-- Moves the deadlines of leases. ARGV: now, mailbox, ms from now, tokens. Returns 1 (held), 0 (lost) or 2
-- (withdrawn) for each.
local box, until_ = open(ARGV[2]), now + tonumber(ARGV[3])
call('HDEL', box.s, '') -- needs no memory: what follows may then write on a full server
local answers, held = {}, false
for from = 4, #ARGV, 500 do -- one command takes no more than some thousands
  local timers, tokens = {}, {}
  for i = from, math.min(from + 499, #ARGV) do
    if call('HEXISTS', box.h, ARGV[i]) == 1 then
      timers[#timers + 1], timers[#timers + 2] = ms(until_), 'L' .. ARGV[i]
      tokens[#tokens + 1], tokens[#tokens + 2] = ms(until_), ARGV[i]
      answers[#answers + 1] = '1'
    else
      answers[#answers + 1] = was_settled(box, 'W' .. ARGV[i]) and '2' or '0'
    end
  end
  if #timers > 0 then
    call('ZADD', box.t, unpack(timers))
    note_down(box, until_, 'XX', tokens)
    held = true
  end
end
if held then timer_set(box, until_) end
return table.concat(answers)
