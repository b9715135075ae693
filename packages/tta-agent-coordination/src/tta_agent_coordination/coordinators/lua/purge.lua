--! mailbox
-- Deletes what is ready or scheduled, at most 10,000 scheduled messages a call.
-- ARGV: now, mailbox, request. Returns { how many, 1 if there are more }.
local box, request = open(ARGV[2]), ARGV[3]
local before = answered(request)
if before then
  local count, more = string.match(before, '(%d+) (%d)')
  return { tonumber(count), tonumber(more) }
end
sound(box)
local keys = box.ordered and call('HKEYS', box.M .. ':g') or {}
for _, key in ipairs(keys) do sound(box, key) end
local count = 0
for _, level in ipairs(LEVELS) do
  count = count + call('LLEN', box.M .. ':r' .. level)
  call('UNLINK', box.M .. ':r' .. level)
end
call('HDEL', box.s, 'm')
local y, more = box.M .. ':y', 0
for round = 1, 20 do
  local ids = call('HRANDFIELD', y, 500)
  if not ids or #ids == 0 then break end
  call('HDEL', y, unpack(ids))
  for i, id in ipairs(ids) do ids[i] = 'D' .. id end
  call('ZREM', box.t, unpack(ids))
  count = count + #ids
  if round == 20 then more = call('HLEN', y) > 0 and 1 or 0 end
end
if box.ordered and more == 0 then
  for _, key in ipairs(keys) do call('UNLINK', box.M .. ':k:' .. key) end
  count = count + tonumber(call('HGET', box.s, 'b') or 0)
  call('HDEL', box.s, 'b')
  call('UNLINK', box.M .. ':g', box.M .. ':v')
  for _, entry in ipairs(call('HVALS', box.h)) do -- what is worked on still holds its key
    local key = read(entry).key
    if key ~= '-' then call('HSET', box.M .. ':g', key, '1') end
  end
end
answer(request, ms(count) .. ' ' .. more)
return { count, more }
