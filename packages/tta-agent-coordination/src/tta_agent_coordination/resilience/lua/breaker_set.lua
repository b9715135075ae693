--! breaker
-- Changes the state by hand. ARGV after the configuration: an id of this call, the state (`c` or `o`).
-- Returns 1; a repeat changes nothing.
if call('HGET', S, 'rq') == ARGV[13] then return 1 end
begin()
become(ARGV[14])
call('HSET', S, 'rq', ARGV[13])
return 1
