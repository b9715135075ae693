--! mailbox
-- Puts messages into mailboxes. ARGV: now, most that may wait in each (0: any number), window of
-- deduplication in ms (0: none), time to deliver at in ms ('': now), time to live in ms ('': for ever), a
-- name of this call, if it may be withdrawn ('': it may not), then for each message: mailbox, id, level,
-- ordering key, headers and JSON.
-- Returns one letter for each: q queued, w waiting for its time, h handed to a receiver, d duplicate,
-- f full.
local most, window = tonumber(ARGV[2]), tonumber(ARGV[3])
local at, ttl = tonumber(ARGV[4]), tonumber(ARGV[5])
if ARGV[6] ~= '' and answered(ARGV[6]) then return string.rep('d', (#ARGV - 6) / 5) end
local expires = ttl and ms(now + ttl) or '0'
local later = at and at > now

-- The messages from ARGV[from] to ARGV[to], all for one mailbox.
local function put(box, from, to)
  local answers, fresh = {}, { ['9'] = {}, ['5'] = {}, ['1'] = {} }
  local seen = box.M .. ':u'

  -- Straight into the hands of a parked receiver, as long as nothing older waits.
  local direct = box.mask == '' and not box.paused and not (box.timer and box.timer <= now)
    and box.parked > now
  if direct or later then sound(box) end
  for i = from, to, 5 do
    if ARGV[i + 3] ~= '-' then sound(box, ARGV[i + 3]) end
  end

  local room = most
  if most > 0 and later then
    room = most - call('HLEN', box.M .. ':y')
  elseif most > 0 then
    for i = 1, #box.mask do
      room = room - call('LLEN', box.M .. ':r' .. string.sub(box.mask, i, i))
    end
    if box.ordered then room = room - tonumber(call('HGET', box.s, 'b') or 0) end
  end

  local function is_new(id)
    if window == 0 then return true end
    if call('ZADD', seen, 'NX', ms(now + window), id) == 1 then return true end
    if tonumber(call('ZSCORE', seen, id)) > now then return false end
    call('ZADD', seen, ms(now + window), id)
    return true
  end

  for i = from, to, 5 do
    local id, level = ARGV[i + 1], ARGV[i + 2]
    local n = (i - from) / 5 + 1
    if (later and call('HEXISTS', box.M .. ':y', id) == 1) or not is_new(id) then
      answers[n] = 'd'
    elseif most > 0 and room <= 0 then
      if window > 0 then call('ZREM', seen, id) end
      answers[n] = 'f'
    else
      room = room - 1
      local entry = '1 0 ' .. level .. ' ' .. ms(now) .. ' ' .. expires .. ' ' .. id .. ' ' .. ARGV[i + 3]
        .. ' - -\n' .. ARGV[i + 4]
      if later then
        answers[n] = 'w'
        wait_until(box, at, id, entry)
      else
        answers[n] = 'q'
        if admit(box, { id = id, key = ARGV[i + 3] }, entry) then
          local list = fresh[level]
          list[#list + 1] = { n, entry }
        end
      end
    end
  end

  -- Once in a second per mailbox, what has left the window is removed.
  if window > 0 then
    if now >= box.clean then
      call('ZREMRANGEBYSCORE', seen, '-inf', ms(now))
      call('PEXPIRE', seen, ms(window + KEEP))
      call('HSET', box.s, 'u', ms(now + 1000))
    end
  end

  for place, level in ipairs(LEVELS) do
    local list, first = fresh[level], 1
    while direct and first <= #list do
      local receiver = unpark_one(box)
      if not receiver then break end
      local request, lease, own = string.match(receiver, '^(%S+) (%S+) (%S+)$')
      local entry = '1 1' .. string.sub(list[first][2], 4)
      local token, deadline = request .. '.000', now + tonumber(lease)
      local inbox, there = base .. ':i:' .. request, nil
      if issue(box, deadline, { ms(deadline), token }) then
        there = redis.pcall('RPUSH', inbox, box.name .. ' ' .. ms(deadline) .. '\n' .. entry)
      end
      if type(there) == 'number' then -- else its inbox is foreign, which it will be told
        call('PEXPIRE', inbox, KEEP)
        call('HSET', box.h, token, entry)
        call('ZADD', box.t, ms(deadline), 'L' .. token)
        if own ~= '*' then
          redis.pcall('ZREM', base .. ':m:' .. (box.name == '*' and own or '*') .. ':w', receiver)
        end
        timer_set(box, deadline)
        answers[list[first][1]] = 'h'
        first = first + 1
      end
    end
    if first <= #list then
      local key = box.M .. ':r' .. level
      for start = first, #list, 500 do
        local chunk = {}
        for i = start, math.min(start + 499, #list) do chunk[#chunk + 1] = list[i][2] end
        local length = redis.pcall('RPUSH', key, unpack(chunk))
        if type(length) == 'table' then -- a foreign type, or a missing right: they may be sent again
          for i = place, #LEVELS do
            for n = i == place and start or 1, #fresh[LEVELS[i]] do
              call('ZREM', seen, ARGV[from + (fresh[LEVELS[i]][n][1] - 1) * 5 + 1])
            end
          end
          return nil, length
        end
      end
      mark(box, level)
      if not box.paused and box.parked > now then notify(box, math.min(16, #list - first + 1)) end
    end
  end
  return table.concat(answers)
end

local letters, from = '', 7
while from < #ARGV do
  local to = from
  while ARGV[to + 5] == ARGV[from] do to = to + 5 end
  local box = open(ARGV[from])
  local answers, refused = put(box, from, to)
  if refused then return refused end
  letters = letters .. answers
  passing(box, math.max(HOUR, (ttl or 0) + KEEP))
  from = to + 5
end
return letters
