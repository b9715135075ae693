--! registry
-- Lists agents. ARGV: now, agent (empty: all), then what they must be able to do.
-- Returns epoch, version, and for each agent its registration, its info, when it falls or fell silent,
-- and whether it is alive.
begin(true)
done()
local reply, cut = { epoch, ms(version) }, limit()

local function add(names) -- pairs of registration and time
  for from = 1, #names, 2 * MANY do
    local some = {}
    for i = from, math.min(#names, from + 2 * MANY - 1), 2 do some[#some + 1] = names[i] end
    local infos = call('HMGET', I, unpack(some))
    for n, name in ipairs(some) do
      if infos[n] then
        local score = names[from + 2 * n - 1]
        local at = #reply
        reply[at + 1], reply[at + 2], reply[at + 3] = name, infos[n], score
        reply[at + 4] = tonumber(score) > cut and 1 or 0
      end
    end
  end
end

if ARGV[2] ~= '' or #ARGV > 2 then
  local names
  if ARGV[2] ~= '' then
    names = { ARGV[2] .. ' ' .. (call('HGET', N, ARGV[2]) or '') }
  else
    local sets = {}
    for i = 3, #ARGV do sets[#sets + 1] = R .. ':k:' .. ARGV[i] end
    names = call('SINTER', unpack(sets))
    table.sort(names)
  end
  for _, name in ipairs(names) do
    local score = call('ZSCORE', L, name) or call('ZSCORE', X, name)
    if score then add({ name, score }) end
  end
else
  add(call('ZRANGE', L, 0, -1, 'WITHSCORES'))
  add(call('ZRANGE', X, 0, -1, 'WITHSCORES'))
end
return reply
