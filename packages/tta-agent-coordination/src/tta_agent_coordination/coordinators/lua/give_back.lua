--! mailbox
-- Undoes deliveries: the messages are as if they had not been received. Also takes a receiver off the
-- lists of the parked. ARGV: now, lease in ms of the parked receiver ('': none; `lost`: none, and its reply
-- got lost), number of mailboxes, their names, then tokens, each in any of those mailboxes; the first tells the parked request.
-- Returns how many messages went back.
local boxes, back = tonumber(ARGV[3]), 0
for b = 1, boxes do
  local box = open(ARGV[3 + b])
  local request = string.match(ARGV[4 + boxes], '^[^.]+')
  if ARGV[2] == 'lost' then
    call('ZADD', box.M .. ':f', ms(now), request)
    call('ZREMRANGEBYSCORE', box.M .. ':f', '-inf', ms(now - DAY))
    call('PEXPIRE', box.M .. ':f', DAY + KEEP)
  elseif ARGV[2] ~= '' then
    call('ZREM', box.M .. ':w', request .. ' ' .. ARGV[2] .. ' ' .. ARGV[4])
    call('DEL', base .. ':i:' .. request)
  end
  local returned, members = 0, {}
  for i = #ARGV, 4 + boxes, -1 do
    local entry = call('HGET', box.h, ARGV[i])
    if not entry then
      if was_settled(box, 'B' .. ARGV[i]) then back = back + 1 end
    else
      members[#members + 1], members[#members + 2] = ms(now), 'B' .. ARGV[i]
      call('HDEL', box.h, ARGV[i])
      call('ZREM', box.t, 'L' .. ARGV[i])
      local head = read(entry)
      head.attempts = head.attempts - 1
      push(box, head.level, write(head, entry), 'LPUSH')
      returned = returned + 1
    end
  end
  if returned > 0 then
    settled(box, members)
    if not box.paused then notify(box, math.min(16, returned)) end
  end
  back = back + returned
end
return back
