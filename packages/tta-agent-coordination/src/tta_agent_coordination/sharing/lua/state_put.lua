--! state
-- Puts or deletes a value. ARGV: now, request, version that must be there (empty: any; 0: nothing must
-- be there), ms to live (empty: for ever), `put` or `delete`, body.
-- Returns whether it was done, the version, and when the value ends.
for _, text in ipairs(call('LRANGE', Q, 0, -1)) do
  local request, done, made, until_ = string.match(text, '^(%S+) (%d) (%d+) (%d+)$')
  if request == ARGV[2] then return { tonumber(done), made, until_ } end
end
if ARGV[5] == 'delete' then call('HDEL', V, '') end -- a full server then takes what follows
expire()
local there = body and version or 0
if ARGV[3] ~= '' and tonumber(ARGV[3]) ~= there then return { 0, ms(there), ms(ends) } end
local done = 1
if ARGV[5] == 'put' then
  put(ARGV[6], ARGV[4] == '' and 0 or now + ARGV[4])
elseif body then
  put(false, 0)
else
  done = 0
end
call('RPUSH', Q, table.concat({ ARGV[2], done, ms(version), ms(ends) }, ' '))
call('LTRIM', Q, -64, -1)
call('PEXPIRE', Q, ms(KEEP))
return { done, ms(version), ms(ends) }
