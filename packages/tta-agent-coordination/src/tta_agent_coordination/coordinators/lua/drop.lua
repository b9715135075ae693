--! mailbox
-- Deletes all that there is of a mailbox for answers. ARGV: now, mailbox.
local M = base .. ':m:' .. ARGV[2]
for _, suffix in ipairs(KEYS_OF) do call('UNLINK', M .. suffix) end
return call('UNLINK', M .. ':w', M .. ':a', M .. ':y')
