--! mailbox
-- Reads dead letters, oldest first. ARGV: now, mailbox, how many to skip, how many to read, or an id.
-- Returns id, time in ms, entry for each.
local box = open(ARGV[2])
local letters, e = {}, box.M .. ':e'
if ARGV[5] then
  local entry = call('HGET', e, ARGV[5])
  if entry then letters = { ARGV[5], call('ZSCORE', box.M .. ':d', ARGV[5]), entry } end
  return letters
end
local from = tonumber(ARGV[3])
local found = call('ZRANGE', box.M .. ':d', from, from + tonumber(ARGV[4]) - 1, 'WITHSCORES')
for i = 1, #found, 2 do
  local entry = call('HGET', e, found[i])
  letters[#letters + 1], letters[#letters + 2], letters[#letters + 3] = found[i], found[i + 1], entry
end
return letters
