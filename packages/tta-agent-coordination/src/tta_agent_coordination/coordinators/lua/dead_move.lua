--! mailbox
-- Redrives or deletes dead letters. ARGV: now, mailbox, request, `redrive` or `purge`, ids.
-- A redriven message is as new: no attempts, no time to live. Returns how many there were.
local box, request, redrive = open(ARGV[2]), ARGV[3], ARGV[4] == 'redrive'
local before = answered(request)
if before then return tonumber(before) end
local moved, e = 0, box.M .. ':e'
for i = 5, #ARGV do
  local entry = call('HGET', e, ARGV[i])
  if entry then
    call('HDEL', e, ARGV[i])
    call('ZREM', box.M .. ':d', ARGV[i])
    if redrive then
      local head = read(entry)
      head.attempts, head.expires, head.failure, head.error = 0, '0', '-', '-'
      head.more = string.gsub(head.more, ' x%S+', '')
      entry = write(head, entry)
      if admit(box, head, entry) then push(box, head.level, entry, 'RPUSH') end
    end
    moved = moved + 1
  end
end
if redrive and moved > 0 and not box.paused then notify(box, math.min(16, moved)) end
return tonumber(answer(request, moved))
