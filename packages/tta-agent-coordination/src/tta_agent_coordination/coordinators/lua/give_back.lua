--! mailbox
-- Undoes deliveries: the messages are as if they had not been received. Also takes a receiver off the
-- lists of the parked. ARGV: now, lease in ms of the receiver ('': none has gone), 1 if its reply got
-- lost, number of mailboxes, their names (the receiver's own first), then tokens, each in any of those
-- mailboxes; the first tells the receiver's request. Returns how many messages went back.
local lease, boxes, back, box_of = ARGV[2], tonumber(ARGV[4]), 0, {}
local request = string.match(ARGV[5 + boxes], '^[^.]+')
for b = 1, boxes do
  box_of[b] = open(ARGV[4 + b])
  sound(box_of[b])
end
for _, box in ipairs(box_of) do
  if lease ~= '' then
    -- Needs no memory: then a full server can be drained.
    redis.pcall('ZREM', box.M .. ':w', request .. ' ' .. lease .. ' ' .. ARGV[5])
    call('DEL', base .. ':i:' .. request)
    close(box, request)
  end
  if ARGV[3] == '1' then
    call('ZADD', box.M .. ':f', ms(now), request)
    call('ZREMRANGEBYSCORE', box.M .. ':f', '-inf', ms(now - DAY))
    call('PEXPIRE', box.M .. ':f', DAY + KEEP)
  end
  local returned = 0
  for i = #ARGV, 5 + boxes, -1 do
    local entry = call('HGET', box.h, ARGV[i])
    if not entry then
      if was_settled(box, 'B' .. ARGV[i]) then back = back + 1 end
    else
      call('HDEL', box.h, ARGV[i])
      call('ZREM', box.t, 'L' .. ARGV[i])
      settled(box, 'B', { ARGV[i] })
      local head = read(entry)
      head.attempts = head.attempts - 1
      push(box, head.level, write(head, entry), 'LPUSH')
      returned = returned + 1
    end
  end
  if returned > 0 and not box.paused then notify(box, math.min(16, returned)) end
  back = back + returned
  passing(box, HOUR)
end
return back
