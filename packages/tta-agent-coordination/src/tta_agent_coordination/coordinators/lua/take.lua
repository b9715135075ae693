--! mailbox due acks
-- Acknowledges, then reserves messages. ARGV: now, request, how many messages, lease in ms, deliveries
-- before a message is given up, ms to park if there is nothing (0: do not), 1 if the request was made
-- before, number of mailboxes, their names (the receiver's own first), then pairs of mailbox and token
-- to acknowledge.
-- Returns { answers to the acks, deadline, ms until it is worth looking again (-1: unknown, -2: the
-- request was served before, and is over), expired, given up, leases run out, then for each message:
-- index of its mailbox, number in its token, entry }.
local request, want, lease, most = ARGV[2], tonumber(ARGV[3]), tonumber(ARGV[4]), tonumber(ARGV[5])
local park, again, boxes = tonumber(ARGV[6]), ARGV[7] == '1', tonumber(ARGV[8])
local box = {}
for i = 1, boxes do box[i] = open(ARGV[8 + i]) end

local acked = ''
local i = 9 + boxes
while i < #ARGV do -- neighbors of one mailbox together
  local name, tokens = ARGV[i], {}
  while i < #ARGV and ARGV[i] == name and #tokens < 500 do
    tokens[#tokens + 1] = ARGV[i + 1]
    i = i + 2
  end
  local of
  for b = 1, boxes do if box[b].name == name then of = box[b] end end
  acked = acked .. ack(of or open(name), tokens)
end

local deadline = now + lease
local reply = { acked, ms(deadline), -1, 0, 0, 0 }

-- The same request once more: its reply was lost, or it was parked. The same leases are its answer.
local function replay()
  for b = 1, boxes do
    local tokens = {}
    for n = 1, want do tokens[n] = string.format('%s.%03d', request, n - 1) end
    local entries = call('HMGET', box[b].h, unpack(tokens))
    for n = 1, want do
      if entries[n] then
        if #reply == 6 then call('HDEL', box[b].s, '') end -- as below
        call('ZADD', box[b].t, ms(deadline), 'L' .. tokens[n])
        note_down(box[b], deadline, 'XX', { ms(deadline), tokens[n] })
        timer_set(box[b], deadline)
        reply[#reply + 1], reply[#reply + 2], reply[#reply + 3] = b - 1, n - 1, entries[n]
      end
    end
  end
  return #reply > 6
end

local receiver = request .. ' ' .. ms(lease) .. ' ' .. box[1].name

local function finish()
  for b = 1, boxes do
    -- Who is served is parked no longer, as a first copy of the request may have been.
    if #reply > 6 and box[b].parked > now then redis.pcall('ZREM', box[b].M .. ':w', receiver) end
    passing(box[b], HOUR)
  end
  return reply
end

local function finish_repeated()
  if not replay() then reply[3] = -2 end
  return finish()
end

if again then
  for b = 1, boxes do call('ZREM', box[b].M .. ':w', receiver) end
  if replay() then return finish() end
end
if boxes > 1 then
  -- With one mailbox, the first reservation itself shows a repetition (below).
  for b = 1, boxes do
    if is_known(box[b], request) then return finish_repeated() end
  end
end

-- Pops up to `count` entries: 9 before 5 before 1, but every 8th pick that has a choice begins at 1, and
-- every 8th at 5, so that nothing starves. Returns them in order, and their levels.
local function pick(of, count)
  local entries = {}
  if #of.mask == 1 then
    local order = {}
    entries = call('LPOP', of.M .. ':r' .. of.mask, count) or {}
    for n = 1, #entries do order[n] = of.mask end
    if #entries < count then unmark(of, of.mask) end
    return entries, order
  end
  local left, levels, order, take = {}, 0, {}, {}
  for _, level in ipairs(LEVELS) do
    left[level], take[level] = 0, 0
    if string.find(of.mask, level, 1, true) then
      left[level] = call('LLEN', of.M .. ':r' .. level)
      if left[level] > 0 then levels = levels + 1 end
    end
  end
  local picks = of.picks
  for n = 1, count do
    if levels == 0 then break end
    local level
    if levels > 1 then
      picks = (picks + 1) % 8
      level = picks == 0 and '1' or picks == 4 and '5' or '9'
    end
    if not level or left[level] == 0 then
      level = left['9'] > 0 and '9' or left['5'] > 0 and '5' or '1'
    end
    order[n], take[level] = level, take[level] + 1
    left[level] = left[level] - 1
    if left[level] == 0 then levels = levels - 1 end
  end
  local popped, at = {}, { ['9'] = 0, ['5'] = 0, ['1'] = 0 }
  for _, level in ipairs(LEVELS) do
    if take[level] > 0 then popped[level] = call('LPOP', of.M .. ':r' .. level, take[level]) end
  end
  for n, level in ipairs(order) do
    at[level] = at[level] + 1
    entries[n] = popped[level][at[level]]
  end
  if picks ~= of.picks then
    of.picks = picks
    call('HSET', of.s, 'c', picks)
  end
  for _, level in ipairs(LEVELS) do
    if left[level] == 0 and string.find(of.mask, level, 1, true) then unmark(of, level) end
  end
  return entries, order
end

local taken, moved, more = 0, 0, false

-- Leases what a mailbox has, up to what is wanted. Returns true if the request was served before.
local function look(b)
  local of, rounds = box[b], 0
  local ready, dead, lost = due(of, most)
  moved = moved + ready
  reply[5], reply[6] = reply[5] + dead, reply[6] + lost
  while taken < want and of.mask ~= '' do
    rounds = rounds + 1
    if rounds > 100 then -- only expired messages so far; let others have the server
      more = true
      return false
    end
    local picks = of.picks
    local entries, levels = pick(of, want - taken)
    local timers, bodies, tokens, expired, unreadable = {}, {}, {}, {}, {}

    local function put_back()
      for n = #entries, 1, -1 do push(of, levels[n], entries[n], 'LPUSH') end
      if of.picks ~= picks then call('HSET', of.s, 'c', picks) end
    end
    -- With something foreign under a key, or a missing right, what was popped must not be lost.
    local function try(what, ...)
      local fine, answer = pcall(what, ...)
      if fine then return answer end
      put_back()
      error(answer, 0)
    end

    for _, entry in ipairs(entries) do
      local head = read(entry)
      if not head then
        try(sound, of)
        unreadable[#unreadable + 1] = entry
      elseif head.expires ~= '0' and tonumber(head.expires) <= now then
        if head.key ~= '-' then try(sound, of, head.key) end
        expired[#expired + 1] = head.key
      else
        local token = string.format('%s.%03d', request, taken + #bodies / 2)
        timers[#timers + 1], timers[#timers + 2] = ms(deadline), 'L' .. token
        tokens[#tokens + 1], tokens[#tokens + 2] = ms(deadline), token
        bodies[#bodies + 1] = token
        bodies[#bodies + 1] = head.version .. ' ' .. (head.attempts + 1)
          .. string.sub(entry, #head.version + #tostring(head.attempts) + 2)
      end
    end
    local repeated = false
    if #timers > 0 then
      repeated = try(call, 'ZADD', of.t, 'NX', unpack(timers)) < #timers / 2
        or not issue(of, deadline, tokens)
    elseif #expired > 0 and boxes == 1 and taken == 0 then
      repeated = is_known(of, request)
    end
    if repeated then -- undo what was popped now
      put_back()
      for n = 2, #timers, 2 do
        if call('HEXISTS', of.h, string.sub(timers[n], 2)) == 0 then call('ZREM', of.t, timers[n]) end
      end
      return true
    end
    if #timers > 0 then
      local fine, refused = pcall(call, 'HSET', of.h, unpack(bodies))
      if not fine then
        for n = 2, #timers, 2 do call('ZREM', of.t, timers[n]) end
        put_back()
        error(refused, 0)
      end
      for n = 1, #bodies, 2 do
        reply[#reply + 1], reply[#reply + 2] = b - 1, taken
        reply[#reply + 1] = bodies[n + 1]
        taken = taken + 1
      end
      timer_set(of, deadline)
    end
    for _, key in ipairs(expired) do release(of, key) end
    for _, entry in ipairs(unreadable) do bury(of, entry, 'permanent', '=unreadable') end
    if #expired > 0 then
      call('HINCRBY', of.s, 'e', #expired)
      reply[4] = reply[4] + #expired
    end
    reply[5] = reply[5] + #unreadable
  end
  return false
end

for b = 1, boxes do
  if not box[b].paused then
    local fine, before = pcall(look, b)
    if fine and before then
      for n = #reply, 7, -1 do reply[n] = nil end
      return finish_repeated()
    end
    if not fine and taken == 0 then error(before, 0) end
    if not fine then break end -- what is leased must reach its receiver; the next call will tell
  end
end

if taken > 0 then
  if moved > taken then
    for b = 1, boxes do
      if box[b].mask ~= '' then notify(box[b], math.min(16, moved - taken)) end
    end
  end
  return finish()
end
if more then
  reply[3] = 0
  return finish()
end
if boxes == 1 and is_known(box[1], request) then return finish_repeated() end
local wake = now + park
for b = 1, boxes do
  if not box[b].paused and box[b].timer and box[b].timer < wake then wake = box[b].timer end
end
if again then
  -- What its inbox holds was looked at, or its lease has run out: it must not be read any more.
  call('DEL', base .. ':i:' .. request)
  if park == 0 then close(box[1], request) end
end
if park > 0 then
  call('HDEL', box[1].s, '') -- needs no memory: what follows may then write on a full server
  for b = 1, boxes do
    local of = box[b]
    call('ZADD', of.M .. ':w', ms(now + park), receiver)
    call('PEXPIRE', of.M .. ':w', ms(park + KEEP))
    call('HSET', of.s, 'w', ms(math.max(of.parked, now + park)), 'k', ms(math.max(of.wakes, wake)))
  end
  reply[3] = math.max(1, wake - now)
end
return finish()
