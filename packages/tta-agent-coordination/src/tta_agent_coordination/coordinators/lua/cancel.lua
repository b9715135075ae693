--! mailbox
-- Takes a message out of a mailbox, or gives a scheduled one another time.
-- ARGV: now, mailbox, request, id, mode: `cancel`, `at`, `leased`, `held` (back by an ordering key), or a
-- level to search, then the time in ms (`at`), or how far the search is: the cursor (`leased`), how many
-- entries from the tail (`held`, a level); then 1 to forget the id, so that it can be sent again, and the
-- name of the call that has sent it, of which a copy may still come ('': it has none).
-- Returns 1 done, 0 not found, or -n: go on from n.
local box, request, id, mode = open(ARGV[2]), ARGV[3], ARGV[4], ARGV[5]
local before = answered(request)
if before then return tonumber(before) end
local y = box.M .. ':y'
local function reply(found) return tonumber(answer(request, found)) end
local function done()
  if ARGV[7] == '1' then call('ZREM', box.M .. ':u', id) end
  return reply(1)
end
if ARGV[8] and ARGV[8] ~= '' then answer(ARGV[8], 'd') end
if mode == 'at' then
  if call('HEXISTS', y, id) == 0 then return reply(0) end
  call('ZADD', box.t, ARGV[6], 'D' .. id)
  timer_set(box, tonumber(ARGV[6]))
  return reply(1)
end
if mode == 'cancel' then
  local entry = call('HGET', y, id)
  if not entry then return reply(0) end
  local head = read(entry)
  sound(box, head and head.key)
  call('HDEL', y, id)
  call('ZREM', box.t, 'D' .. id)
  if head and head.attempts > 0 then release(box, head.key) end
  return done()
end
if mode == 'leased' then
  local found = call('HSCAN', box.h, ARGV[6], 'COUNT', 200)
  for i = 1, #found[2], 2 do
    local token, head = found[2][i], read(found[2][i + 1])
    if head and head.id == id then
      sound(box, head.key)
      call('HDEL', box.h, token)
      call('ZREM', box.t, 'L' .. token)
      settled(box, 'W', { token })
      release(box, head.key)
      return done()
    end
  end
  return reply(-tonumber(found[1]))
end
-- From the tail: what comes and goes meanwhile can then make us see an entry twice, but miss none.
local key, seen, held = box.M .. ':r' .. mode, tonumber(ARGV[6]), mode == 'held'
if held then
  local name = call('HGET', box.M .. ':v', id)
  if not name then return reply(0) end
  key = box.M .. ':k:' .. name
end
local entries = call('LRANGE', key, -(seen + 500), -(seen + 1))
for i = #entries, 1, -1 do
  local head = read(entries[i])
  if head and head.id == id then
    sound(box, head.key)
    call('LREM', key, -1, entries[i])
    if held then
      call('HDEL', box.M .. ':v', id)
      call('HINCRBY', box.s, 'b', -1)
    else
      release(box, head.key)
    end
    return done()
  end
end
return reply(#entries < 500 and 0 or -(seen + 500))
