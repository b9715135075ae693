--! breaker server/answer
-- Changes the state by hand. ARGV after the configuration: a name of this call, the state (`c` or `o`).
-- Returns 1; a repeat changes nothing.
if answered(ARGV[13]) then return 1 end
begin()
become(ARGV[14])
answer(ARGV[13], 1)
return 1
