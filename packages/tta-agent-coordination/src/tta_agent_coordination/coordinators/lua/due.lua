-- Moves what is due, at most 32 a call, in the order of the times: a lease that ran out goes back to the
-- head of its list, or to the dead letters after `most` deliveries; a message that waited for its time
-- goes to the tail, one in back-off to the head.
-- Returns how many became ready, were given up, and lost their lease.
local function due(box, most)
  if not box.timer or now < box.timer then return 0, 0, 0 end
  local members = call('ZRANGEBYSCORE', box.t, '-inf', ms(now), 'LIMIT', 0, 32)
  local entries = {}
  for i, member in ipairs(members) do
    entries[i] = call('HGET', string.sub(member, 1, 1) == 'L' and box.h or box.M .. ':y', string.sub(member, 2))
    local head = entries[i] and read(entries[i])
    sound(box, head and head.key)
  end
  -- The first write of a script must be one that needs no memory: then a full server can be drained.
  if #members > 0 then call('ZREM', box.t, unpack(members)) end
  local ready, dead, lost, back, ended = 0, 0, 0, {}, {}
  for i, member in ipairs(members) do
    local leased = string.sub(member, 1, 1) == 'L'
    local table, name, entry = leased and box.h or box.M .. ':y', string.sub(member, 2), entries[i]
    local head = entry and read(entry)
    if entry then
      call('HDEL', table, name)
      if leased then
        lost = lost + 1
        ended[lost] = name
      end
    end
    if head and leased then
      head.more = head.more .. ' x' .. name
      entry = write(head, entry)
      if head.attempts >= most then entry = uncount(box, head, entry) end
    end
    if head and leased and head.attempts < most or head and not leased and head.attempts > 0 then
      back[#back + 1] = { head.level, entry }
    elseif head and not leased then
      if admit(box, head, entry) then
        push(box, head.level, entry, 'RPUSH')
        ready = ready + 1
      end
    elseif head then
      bury(box, entry, 'timeout', '=the%20lease%20ran%20out')
      release(box, head.key)
      dead = dead + 1
    elseif entry then
      bury(box, entry, 'permanent', '=unreadable')
      dead = dead + 1
    end
  end
  if lost > 0 then settled(box, 'X', ended) end
  for i = #back, 1, -1 do -- the last first, so that the first is at the head in the end
    push(box, back[i][1], back[i][2], 'LPUSH')
  end
  local first = call('ZRANGE', box.t, 0, 0, 'WITHSCORES')
  box.timer = tonumber(first[2] or nil)
  if box.timer then
    call('HSET', box.s, 'x', first[2])
  else
    call('HDEL', box.s, 'x')
  end
  return ready + #back, dead, lost
end
