-- For calls that must not be done twice: each has a name, and its answer is kept under that. So also a copy
-- changes nothing that a server comes to late, when its client has had the answer and made other calls.
local function answer_of(request)
  return KEYS[1] .. ':q:' .. request
end

-- The answer of a call, if it was done.
local function answered(request)
  return call('GET', answer_of(request))
end

local function answer(request, value)
  call('DEL', answer_of(request)) -- needs no memory: a full server then takes what follows
  call('SET', answer_of(request), value, 'PX', KEEP)
  return value
end
