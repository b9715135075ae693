--! mailbox acks
-- Acknowledges tokens. ARGV: now, then pairs of mailbox and token. Returns 1 or 0 for each.
local answers, i = '', 2
while i < #ARGV do
  local name, tokens = ARGV[i], {}
  while i < #ARGV and ARGV[i] == name and #tokens < 500 do
    tokens[#tokens + 1] = ARGV[i + 1]
    i = i + 2
  end
  answers = answers .. ack(open(name), tokens)
end
return answers
