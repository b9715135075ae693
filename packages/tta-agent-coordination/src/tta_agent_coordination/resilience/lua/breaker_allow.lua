--! breaker
-- Gives leave for one call, or not. ARGV after the configuration: the token of the call.
-- Returns the generation (-1: no leave), the state, ms until a call may pass (-1: not known), failures.
local token = ARGV[13]
if state.st == 'c' then return { state.g, 'c', 0, state.f } end
if state.st == 'o' and now < state.at + config.open then return { -1, 'o', wait(), 0 } end
-- A copy that comes late, of a call that has ended: nobody would give its place as a probe back.
if call('ZSCORE', D, token) then return { -1, state.st, -1, 0 } end
begin()
if state.st == 'o' then
  become('h')
elseif now >= state.at + config.half then
  become('o') -- no decision while half-open
  return { -1, 'o', wait(), 0 }
end
if not call('ZSCORE', P, token) then
  call('ZREMRANGEBYSCORE', P, '-inf', ms(now)) -- whoever had these may be dead
  if call('ZCARD', P) >= config.probes then return { -1, 'h', -1, 0 } end
  call('ZADD', P, ms(now + config.lease), token)
  call('PEXPIRE', P, ms(config.lease + KEEP))
end
return { state.g, 'h', 0, 0 }
