--! mailbox
-- Pauses (1) or resumes (0) a mailbox. ARGV: now, mailbox, 1 or 0.
local box = open(ARGV[2])
if ARGV[3] == '1' then
  call('HSET', box.s, 'p', '1')
else
  call('HDEL', box.s, 'p')
  notify(box, 16)
end
return 1
