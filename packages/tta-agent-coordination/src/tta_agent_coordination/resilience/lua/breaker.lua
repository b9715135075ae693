--! server/clock
-- What the scripts of circuit breakers share. KEYS[1] is `{prefix:*breaker:<name>}:<configuration>`.
-- ARGV: the time, then the configuration: failures in a row that open it, rates of failed and of slow
-- calls, calls or ms of the window, calls it must hold, ms open, probes at a time, probes that close it,
-- ms half-open, ms of a probe's lease; empty: without.
--
-- Keys, B = KEYS[1]:
--   B:s  hash: st state (`c` closed, `o` open, `h` half-open), g generation, at since when, f failures in
--        a row, ok good probes, n nf ns calls, failures and slow calls of the window, oc how often it
--        has opened
--   B:p  zset: tokens of probes, by the end of their lease
--   B:d  zset: tokens whose result is known, by time: a repeated call finds its own
--   B:w  the window: a list of marks (1 failed + 2 slow), or a hash of tenths of the time
-- Each change of state begins a new generation, and a result counts only in its own.
local B = KEYS[1]
local config = {
  threshold = tonumber(ARGV[2]), failed = tonumber(ARGV[3]), slow = tonumber(ARGV[4]),
  calls = tonumber(ARGV[5]), span = tonumber(ARGV[6]), minimum = tonumber(ARGV[7]),
  open = tonumber(ARGV[8]), probes = tonumber(ARGV[9]), successes = tonumber(ARGV[10]),
  half = tonumber(ARGV[11]), lease = tonumber(ARGV[12]),
}
local MOST = 10000 -- so many counted tokens are known at most
local UNUSED = 30 * 86400000 -- a breaker that nobody has used for so long is forgotten

local S, P, D, W = B .. ':s', B .. ':p', B .. ':d', B .. ':w'
local seen = call('HMGET', S, 'st', 'g', 'at', 'f', 'ok', 'n', 'nf', 'ns')
local state = {
  st = seen[1] or 'c', g = tonumber(seen[2] or 0), at = tonumber(seen[3] or 0),
  f = tonumber(seen[4] or 0), ok = tonumber(seen[5] or 0),
  n = tonumber(seen[6] or 0), nf = tonumber(seen[7] or 0), ns = tonumber(seen[8] or 0),
}

-- To be called before the first write. A command that allocates nothing lets a full server accept the
-- few bytes that follow.
local function begin()
  call('HDEL', S, '')
end

local function become(st)
  call('DEL', P, W)
  state.st, state.g, state.at = st, math.max(state.g + 1, now), now
  state.f, state.ok, state.n, state.nf, state.ns = 0, 0, 0, 0, 0
  call('HSET', S, 'st', st, 'g', ms(state.g), 'at', ms(now), 'f', 0, 'ok', 0, 'n', 0, 'nf', 0, 'ns', 0)
  if st == 'o' then call('HINCRBY', S, 'oc', 1) end
  call('PEXPIRE', S, ms(UNUSED))
end

-- The ms until a call may pass; -1 where that is not known.
local function wait()
  if state.st == 'c' then return 0 end
  if state.st == 'o' then return math.max(0, state.at + config.open - now) end
  local left = state.at + config.half - now
  if left <= 0 then return config.open end
  if call('ZCOUNT', P, '(' .. ms(now), '+inf') < config.probes then return 0 end
  return -1
end
