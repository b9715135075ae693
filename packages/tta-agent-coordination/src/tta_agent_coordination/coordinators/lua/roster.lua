--! mailbox
-- Notes down who is there or takes part. ARGV: now, roster, then `add`, member, request and for how many ms
-- those are kept that are not noted down again ('': for ever); or `remove`, member, request; or `list` and
-- how many ms ago members may have been noted down ('': any). Returns the members, those longest there
-- first.
local key, mode, request = base .. ':n:' .. ARGV[2], ARGV[3], ARGV[5]
if mode == 'list' then
  local since = ARGV[4] == '' and '-inf' or ms(now - tonumber(ARGV[4]))
  return call('ZRANGEBYSCORE', key, since, '+inf')
end
if answered(request) then return {} end
if mode == 'remove' then
  call('ZREM', key, ARGV[4])
else
  -- First what needs no memory: then receivers, who are noted down, can drain a full server.
  if ARGV[6] ~= '' then call('ZREMRANGEBYSCORE', key, '-inf', ms(now - tonumber(ARGV[6]))) end
  call('ZADD', key, ms(now), ARGV[4])
end
answer(request, 1)
return {}
