--! breaker
-- Tells how the breaker stands. Returns the state, since when, failures in a row, good probes, probes
-- under way, how often it has opened, ms until a call may pass (-1: not known).
return {
  state.st, ms(state.at), state.f, state.ok, call('ZCOUNT', P, '(' .. ms(now), '+inf'),
  tonumber(call('HGET', S, 'oc') or 0), wait(),
}
