--! breaker
-- Takes the result of a call that had leave. ARGV after the configuration: its token, its generation,
-- what became of it: `success`, `slow`, `failure`, `slow_failure` or `cancelled`.
-- Returns the state, and failures in a row.
local token, generation, outcome = ARGV[13], tonumber(ARGV[14]), ARGV[15]
local failed = outcome == 'failure' or outcome == 'slow_failure'
local slow = outcome == 'slow' or outcome == 'slow_failure'
local windowed = config.failed or config.slow

local function result() return { state.st, state.f } end

if generation ~= state.g then return result() end -- late: of another period
if state.st == 'c' and outcome == 'cancelled' then return result() end
if call('ZSCORE', D, token) then return result() end
begin()
call('ZREM', P, token)
-- Also of a success that changes nothing: repeated later, it would end a row of failures.
call('ZADD', D, ms(now), token)
call('ZREMRANGEBYSCORE', D, '-inf', ms(now - KEEP))
call('ZREMRANGEBYRANK', D, 0, -MOST - 1)
call('PEXPIRE', D, ms(KEEP))
if outcome == 'cancelled' then return result() end

if state.st == 'h' then
  if failed or (slow and config.slow) then
    become('o') -- a probe failed
    return result()
  end
  state.ok = state.ok + 1
  if state.ok >= config.successes then
    become('c')
    return result()
  end
else
  state.f = failed and state.f + 1 or 0
  if config.threshold and state.f >= config.threshold then
    become('o')
    return result()
  end
  if windowed then
    local mark = (failed and 1 or 0) + (slow and 2 or 0)
    if config.calls then
      call('RPUSH', W, mark)
      if call('LLEN', W) > config.calls then
        local oldest = tonumber(call('LPOP', W))
        state.n, state.nf, state.ns =
          state.n - 1, state.nf - oldest % 2, state.ns - math.floor(oldest / 2)
      end
    else
      local number, tenths = math.floor(now * 10 / config.span), call('HGETALL', W)
      for i = 1, #tenths, 2 do -- a clock that was put back counts as standing still
        number = math.max(number, tonumber(tenths[i]))
      end
      for i = 1, #tenths, 2 do
        if tonumber(tenths[i]) <= number - 10 then
          local n, nf, ns = string.match(tenths[i + 1], '^(%d+) (%d+) (%d+)$')
          state.n, state.nf, state.ns = state.n - n, state.nf - nf, state.ns - ns
          call('HDEL', W, tenths[i])
        end
      end
      local n, nf, ns =
        string.match(call('HGET', W, ms(number)) or '0 0 0', '^(%d+) (%d+) (%d+)$')
      call('HSET', W, ms(number), string.format('%d %d %d',
        n + 1, nf + (failed and 1 or 0), ns + (slow and 1 or 0)))
    end
    call('PEXPIRE', W, ms(UNUSED))
    state.n, state.nf, state.ns =
      state.n + 1, state.nf + (failed and 1 or 0), state.ns + (slow and 1 or 0)
    if state.n >= (config.minimum or 1)
      and ((config.failed and state.nf / state.n >= config.failed)
        or (config.slow and state.ns / state.n >= config.slow)) then
      become('o')
      return result()
    end
  end
end
if failed or windowed or state.st == 'h' or seen[4] and seen[4] ~= '0' then
  call('HSET', S, 'f', state.f, 'ok', state.ok, 'n', state.n, 'nf', state.nf, 'ns', state.ns)
  call('PEXPIRE', S, ms(UNUSED))
end
return result()
