-- Acknowledges tokens of one mailbox; returns a text with 1 (done, now or before) or 0 for each. What is
-- known of a token, by the end of its lease, tells a repeated call that it was acknowledged; where a lease
-- may have ended long ago, that is noted down anew.
local function ack(box, tokens)
  local keys = {} -- by token, as one may be given twice
  if box.ordered then
    local entries = call('HMGET', box.h, unpack(tokens))
    for i, token in ipairs(tokens) do
      local key = entries[i] and read(entries[i]).key or '-'
      if key ~= '-' then
        sound(box, key)
        keys[token] = key
      end
    end
  end
  if #tokens > 1 then -- foreign types, as with `sound`
    call('ZCARD', box.t)
    call('ZCARD', box.M .. ':a')
  end
  local done, overdue = call('HDEL', box.h, unpack(tokens)), box.timer and box.timer <= now
  for _, token in ipairs(tokens) do
    if keys[token] then release(box, keys[token]) end
    keys[token] = nil
  end
  if done == #tokens then
    local timers, known = {}, {}
    for i, token in ipairs(tokens) do
      timers[i] = 'L' .. token
      known[2 * i - 1], known[2 * i] = ms(now), token
    end
    call('ZREM', box.t, unpack(timers))
    if overdue then note_down(box, now, 'GT', known) end
    return string.rep('1', #tokens)
  end
  -- Some were not leased. Those that were still have their timers, once each.
  local answers = {}
  for i, token in ipairs(tokens) do
    if done > 0 and call('ZREM', box.t, 'L' .. token) == 1 then
      answers[i] = '1'
      if overdue then note_down(box, now, 'GT', { ms(now), token }) end
    else
      answers[i] = was_acked(box, token) and '1' or '0'
    end
  end
  return table.concat(answers)
end
