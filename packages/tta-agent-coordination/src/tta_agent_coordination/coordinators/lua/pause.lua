--! mailbox
-- Pauses (1) or resumes (0) a mailbox. ARGV: now, mailbox, request, 1 or 0.
local box, request = open(ARGV[2]), ARGV[3]
if answered(request) then return 1 end
if ARGV[4] == '1' then
  call('HSET', box.s, 'p', '1')
else
  call('HDEL', box.s, 'p')
  notify(box, 16)
end
answer(request, 1)
return 1
