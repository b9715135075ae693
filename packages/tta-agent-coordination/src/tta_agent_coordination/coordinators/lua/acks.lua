-- Acknowledges tokens of one mailbox; returns a text with 1 (done, now or before) or 0 for each.
local function ack(box, tokens)
  local keys = {}
  if box.ordered then
    local entries = call('HMGET', box.h, unpack(tokens))
    for i in ipairs(tokens) do
      if entries[i] then keys[#keys + 1] = read(entries[i]).key end
    end
  end
  local done = call('HDEL', box.h, unpack(tokens))
  for _, key in ipairs(keys) do release(box, key) end
  if done == #tokens then
    local timers, members = {}, {}
    for i, token in ipairs(tokens) do
      timers[i] = 'L' .. token
      members[2 * i - 1], members[2 * i] = ms(now), 'A' .. token
    end
    call('ZREM', box.t, unpack(timers))
    settled(box, members)
    return string.rep('1', #tokens)
  end
  -- Some were not leased. Those that were still have their timers, once each.
  local answers, members = {}, {}
  for i, token in ipairs(tokens) do
    if done > 0 and call('ZREM', box.t, 'L' .. token) == 1 then
      members[#members + 1], members[#members + 2] = ms(now), 'A' .. token
      call('ZADD', box.M .. ':a', ms(now), 'A' .. token)
      answers[i] = '1'
    else
      answers[i] = was_settled(box, 'A' .. token) and '1' or '0'
    end
  end
  if #members > 0 then settled(box, members) end
  return table.concat(answers)
end
