--! server/clock server/answer
-- What all scripts share. KEYS[1] is `{prefix:type}`: all mailboxes of a type live in one hash slot.
--
-- Keys of a mailbox M = `{prefix:type}:m:<name>`:
--   M:r9 M:r5 M:r1  lists: what is ready, oldest at the head; an element is a whole entry
--   M:h             hash: leased entries by token
--   M:y             hash: entries that wait for a time, by id
--   M:t             zset: when a lease ends (`L` + token) or a waiting entry is due (`D` + id)
--   M:w             zset: parked receivers, by the time until which they wait
--   M:u             zset: ids of the window of deduplication, by the time at which they leave it
--   M:a             zset: tokens that were issued, by the end of their lease: none is issued twice; and
--                   how some of them ended (`N` nacked, `B` given back, `W` withdrawn, `X` run out, before
--                   the token), by time: a repeated call finds its answer
--   M:g             hash: ordering keys of which a message is ready, leased or in back-off
--   M:k:<key>       list: the messages with that key that wait until it is done, oldest at the head
--   M:v             hash: which key each of them waits for, by id
--   M:d M:e         zset and hash: dead letters by time, and their entries
--   M:f             zset: requests of receivers whose reply got lost, by time
--   M:s             hash: m which ready lists may hold something, x no timer is due before, c picks,
--                   w latest time until which a receiver is parked, k latest time at which one wakes,
--                   p paused, u and a when to trim those zsets next, z when M:a is cleared away,
--                   e how many expired, o whether ordering keys are in use, b how many messages wait
--                   for those
-- Besides, for the type: `{prefix:type}:i:<request>` inboxes, `{prefix:type}:q:<request>` answers of
-- rare calls. PEXPIRE only clears away what nobody will read again; no answer depends on it.
local base = KEYS[1]
local LEVELS = { '9', '5', '1' }
local HOUR, DAY = 3600000, 86400000
local KNOWN = 60000 -- a call that was answered is known again for so long; clients resend for 59 s

local function open(name)
  local M = base .. ':m:' .. name
  local s = M .. ':s'
  local state = call('HMGET', s, 'm', 'x', 'c', 'w', 'k', 'p', 'a', 'u', 'o', 'z')
  return {
    name = name, M = M, s = s, t = M .. ':t', h = M .. ':h',
    mask = state[1] or '', timer = tonumber(state[2] or nil), picks = tonumber(state[3] or 0),
    parked = tonumber(state[4] or 0), wakes = tonumber(state[5] or 0), paused = state[6],
    trim = tonumber(state[7] or 0), clean = tonumber(state[8] or 0),
    ordered = state[9], known = tonumber(state[10] or 0),
  }
end

-- Fails, before a call has written anything, if a key that it may write to holds something foreign:
-- further on, what was taken from one key could not be put under the next. Also looks at what waits for
-- an ordering key. The parked (`w`) and the settled (`a`) are left out: nothing is lost with them.
local LISTS, HASHES = { ':r9', ':r5', ':r1' }, { ':h', ':y', ':g', ':v', ':e' }
local ZSETS = { ':t', ':d', ':f', ':u' }
local function sound(box, key)
  if not box.sound then
    for _, suffix in ipairs(LISTS) do call('LLEN', box.M .. suffix) end
    for _, suffix in ipairs(HASHES) do call('HLEN', box.M .. suffix) end
    for _, suffix in ipairs(ZSETS) do call('ZCARD', box.M .. suffix) end
    box.sound = true
  end
  if key and key ~= '-' then call('LLEN', box.M .. ':k:' .. key) end
end

-- version attempts priority enqueued expires id key failure error (and what newer programs add), then
-- the headers and the message.
local HEAD = '^(%d+) (%d+) (%d) (%d+) (%d+) (%S+) (%S+) (%S+) (%S+)([^\n]*)\n()'

local function read(entry)
  local version, attempts, level, enqueued, expires, id, key, failure, error, more, rest =
    string.match(entry, HEAD)
  if not version or (level ~= '9' and level ~= '5' and level ~= '1') then return nil end
  return {
    version = version, attempts = tonumber(attempts), level = level, enqueued = enqueued,
    expires = expires, id = id, key = key, failure = failure, error = error, more = more,
    rest = rest,
  }
end

-- Returns the entry that `head` was read from with what has been changed in `head`, which then belongs to
-- what is returned.
local function write(head, entry)
  local line = table.concat({
    head.version, head.attempts, head.level, head.enqueued, head.expires, head.id, head.key,
    head.failure, head.error,
  }, ' ') .. head.more .. '\n'
  entry = line .. string.sub(entry, head.rest)
  head.rest = #line + 1
  return entry
end

local function mark(box, level)
  if not string.find(box.mask, level, 1, true) then
    box.mask = box.mask .. level
    call('HSET', box.s, 'm', box.mask)
  end
end

local function unmark(box, level)
  box.mask = string.gsub(box.mask, level, '')
  call('HSET', box.s, 'm', box.mask)
end

-- Takes one live parked receiver off the list; nil if there is none. To tell receivers must not fail
-- what there is to tell of: with something foreign under a key, it is they who are refused.
local function unpark_one(box)
  while box.parked > now do
    local popped = redis.pcall('ZPOPMIN', box.M .. ':w')
    if popped.err or #popped == 0 then break end
    if tonumber(popped[2]) > now then return popped[1] end
  end
  if box.parked > 0 then
    box.parked, box.wakes = 0, 0
    call('HDEL', box.s, 'w', 'k')
  end
  return nil
end

-- Tells up to `count` parked receivers to look again.
local function notify(box, count)
  for _ = 1, count do
    local receiver = unpark_one(box)
    if not receiver then return end
    local inbox = base .. ':i:' .. string.match(receiver, '^%S+')
    redis.pcall('RPUSH', inbox, '')
    call('PEXPIRE', inbox, KEEP)
  end
end

-- To be called after a timer was set. Receivers that would sleep past it are told; 16, so that it does
-- not hang on the life of one of them.
local function timer_set(box, at)
  if not box.timer or at < box.timer then
    box.timer = at
    call('HSET', box.s, 'x', ms(at))
  end
  if box.wakes > at then notify(box, 16) end
end

local function push(box, level, entry, where) -- where: 'LPUSH' (before all others) or 'RPUSH'
  call(where, box.M .. ':r' .. level, entry)
  mark(box, level)
end

-- Deliveries that nobody heard of do not count: a lease that ran out is noted down at the end of the
-- entry's line (`x` and its token), and a receiver tells later which of its replies got lost. To be asked
-- before a message is given up.
local function uncount(box, head, entry)
  local lost = 0
  head.more = string.gsub(head.more, ' x([^ .]+)%S*', function(request)
    if not call('ZSCORE', box.M .. ':f', request) then return nil end
    lost = lost + 1
    return ''
  end)
  if lost == 0 then return entry end
  head.attempts = head.attempts - lost
  return write(head, entry)
end

-- Whether a new message may be ready; if not, it waits until the one before it is done.
local function admit(box, head, entry)
  if head.key == '-' then return true end
  if not box.ordered then
    box.ordered = '1'
    call('HSET', box.s, 'o', '1')
  end
  if call('HSETNX', box.M .. ':g', head.key, '1') == 1 then return true end
  call('RPUSH', box.M .. ':k:' .. head.key, entry)
  call('HSET', box.M .. ':v', head.id, head.key)
  call('HINCRBY', box.s, 'b', 1)
  return false
end

-- To be called when a message that was admitted is gone: the next one of its key becomes ready.
local function release(box, key)
  if key == '-' then return end
  local entry = call('LPOP', box.M .. ':k:' .. key)
  if not entry then
    call('HDEL', box.M .. ':g', key)
    return
  end
  local head = read(entry)
  call('HDEL', box.M .. ':v', head.id)
  call('HINCRBY', box.s, 'b', -1)
  push(box, head.level, entry, 'RPUSH')
  if not box.paused then notify(box, 1) end
end

-- Gives an entry up. `entry` may be of any form: what cannot be read is kept as well.
local function bury(box, entry, failure, error)
  local head = read(entry)
  if not head then
    entry = '1 0 5 ' .. ms(now) .. ' 0 unreadable - permanent -\n\n' .. entry
    head = read(entry)
  end
  head.failure = failure
  if error ~= '-' or head.error == '-' then head.error = error end
  local id, n = head.id, 1
  entry = write(head, entry)
  while call('HSETNX', box.M .. ':e', id, entry) == 0 do
    n = n + 1
    id = head.id .. '~' .. n
  end
  call('ZADD', box.M .. ':d', ms(now), id)
end

-- Puts an entry where it waits for its time, under its message's id or, where that is taken, beside it.
local function wait_until(box, at, id, entry)
  local place, n = id, 1
  while call('HSETNX', box.M .. ':y', place, entry) == 0 do
    n = n + 1
    place = id .. '~' .. n
  end
  call('ZADD', box.t, ms(at), 'D' .. place)
  timer_set(box, at)
end

-- Notes down what is known of tokens until `till`, where that is possible; without it, all goes on, since
-- what is on its way from one key to another must arrive. Returns how many of the members are new, nil if
-- none could be noted down.
local function note_down(box, till, how, members)
  local noted = redis.pcall('ZADD', box.M .. ':a', how, unpack(members))
  if type(noted) ~= 'number' then return nil end
  if till + KNOWN > box.known then
    box.known = till + 1.5 * KNOWN -- so that it is told seldom
    redis.pcall('PEXPIRE', box.M .. ':a', ms(box.known - now))
    redis.pcall('HSET', box.s, 'z', ms(box.known))
  end
  if now >= box.trim then
    redis.pcall('ZREMRANGEBYSCORE', box.M .. ':a', '-inf', ms(now - KNOWN))
    box.trim = now + 5000
    redis.pcall('HSET', box.s, 'a', ms(box.trim))
  end
  return noted
end

-- To be asked before tokens are issued: false if one of them was issued before, or is never to be. Then
-- this is a copy of a call that was answered, and arrives late, on a connection that its client has left.
-- A second message under the same token would be acknowledged with the first, by who has never seen it.
local function issue(box, deadline, members)
  local new = note_down(box, deadline, 'NX', members)
  return not new or new == #members / 2
end

-- Whether tokens were issued to a request; then it is over as soon as they are settled.
local function is_known(box, request)
  local noted = redis.pcall('ZSCORE', box.M .. ':a', request .. '.000')
  return type(noted) == 'string'
end

-- No token shall be issued to a request any more.
local function close(box, request)
  note_down(box, now, 'NX', { ms(now), request .. '.000' })
end

-- Remembers how deliveries ended, so that a repeated call gets the same answer. That is known as long as
-- their tokens are, from now on: one that was issued and has no such mark was acknowledged.
local function settled(box, how, tokens)
  local members = {}
  for _, token in ipairs(tokens) do
    members[#members + 1], members[#members + 2] = ms(now), how .. token
    members[#members + 1], members[#members + 2] = ms(now), token
  end
  note_down(box, now, 'CH', members)
end

local function is_recent(at)
  return at and tonumber(at) + KNOWN > now
end

-- Whether a token was settled so (`N`, `B`, `W` before it) in the last minute.
local function was_settled(box, member)
  return is_recent(call('ZSCORE', box.M .. ':a', member))
end

-- Whether a token that is leased no more was acknowledged: it was issued, and has not ended otherwise.
local function was_acked(box, token)
  local marks = call('ZMSCORE', box.M .. ':a', token, 'N' .. token, 'B' .. token, 'W' .. token, 'X' .. token)
  return is_recent(marks[1]) and not (marks[2] or marks[3] or marks[4] or marks[5])
end

-- A mailbox for answers lives as long as those who wait in it, and may be forgotten by them: whatever is
-- written there gets a time to live. To be called at the end.
local KEYS_OF = { ':s', ':h', ':t', ':r5', ':r9', ':r1', ':u', ':d', ':e' }
local function passing(box, keep)
  if not string.find(base, ':%?r%.%x+}$') then return end
  for _, suffix in ipairs(KEYS_OF) do
    call('PEXPIRE', box.M .. suffix, keep, 'NX')
    call('PEXPIRE', box.M .. suffix, keep, 'GT')
  end
end
