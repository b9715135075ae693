--! state
-- Puts or deletes a value. ARGV: now, request, version that must be there (empty: any; 0: nothing must
-- be there), ms to live (empty: for ever), `put` or `delete`, body.
-- Returns whether it was done, the version, and when the value ends.
local before = answered(ARGV[2])
if before then
  local done, made, until_ = string.match(before, '^(%d) (%d+) (%d+)$')
  return { tonumber(done), made, until_ }
end
if ARGV[5] == 'delete' then call('HDEL', V, '') end -- a full server then takes what follows
expire()
local done, there, expected = 1, body and version or 0, tonumber(ARGV[3])
if expected and expected ~= there then
  -- A version that is past never comes back. But what is refused now might be done by a copy of this call
  -- that comes late, where nothing was to be there.
  if expected ~= 0 and expected < version then return { 0, ms(there), ms(ends) } end
  done, version = 0, there
elseif ARGV[5] == 'put' then
  put(ARGV[6], ARGV[4] == '' and 0 or now + ARGV[4])
elseif body then
  put(false, 0)
else
  done = 0
end
answer(ARGV[2], table.concat({ done, ms(version), ms(ends) }, ' '))
return { done, ms(version), ms(ends) }
