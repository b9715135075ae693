--! server/clock server/answer
-- Keeps a cached value. KEYS[1] is its key. ARGV: now, request, ms to live (empty: for ever), value.
-- Returns 1. A copy of a call that comes late must not bring back what was replaced or deleted since.
if answered(ARGV[2]) then return 1 end
if ARGV[3] == '' then
  call('SET', KEYS[1], ARGV[4])
else
  call('SET', KEYS[1], ARGV[4], 'PX', ARGV[3])
end
answer(ARGV[2], 1)
return 1
