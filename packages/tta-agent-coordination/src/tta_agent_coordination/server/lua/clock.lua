-- The beginning of all scripts. ARGV[1] is the time in ms; empty asks the server (only tests give it).
local call = redis.call
local KEEP = 120000 -- garbage is cleared so many ms after its last use; a client resends a call for 59 s
local now
if ARGV[1] == '' then
  local time = call('TIME')
  now = time[1] * 1000 + math.floor(time[2] / 1000)
else
  now = tonumber(ARGV[1])
end

local function ms(number) -- Lua would write large numbers with an exponent
  return string.format('%.0f', number)
end

