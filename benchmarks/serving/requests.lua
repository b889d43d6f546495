-- Sends prepared requests in turn, each with an X-Request-ID that was never sent before.
-- Arguments after wrk's "--": the file of requests.
-- The file of requests: "HEAD TAIL\n" (lengths in bytes), the bytes of both, and so on; the id goes between them.

local heads, tails, low = {}, {}, {}
local run, prefix
local count, at, step, high = 0, 0, 0, 0

function init(args)
  local file = assert(io.open(args[1], "rb"))
  for line in file:lines() do
    local head, tail = line:match("^(%d+) (%d+)$")
    count = count + 1
    heads[count] = file:read(tonumber(head))
    tails[count] = file:read(tonumber(tail))
  end
  file:close()
  for i = 0, 4095 do low[i] = string.format("%03x", i) end
  math.randomseed(tonumber(tostring({}):match("0x(%x+)"), 16) + os.time())
  run = string.format("%08x%08x", os.time(), math.random(0, 0x7fffffff))
  prefix = run .. string.format("%013x", 0)
end

-- 32 hexadecimal digits: the time, chance, and a counter.
function request()
  at = at + 1
  if at > count then at = 1 end
  step = step + 1
  if step > 4095 then
    step, high = 0, high + 1
    prefix = run .. string.format("%013x", high)
  end
  return heads[at] .. prefix .. low[step] .. tails[at]
end

function done(summary, latency, _)
  local errors = summary.errors
  print(string.format(
    'figures {"requests": %d, "microseconds": %d, "bytes": %d, "p50": %d, "p90": %d, "p99": %d, "max": %d, ' ..
    '"refused": %d, "broken": %d, "slow": %d}',
    summary.requests, summary.duration, summary.bytes, latency:percentile(50), latency:percentile(90),
    latency:percentile(99), latency.max, errors.status, errors.connect + errors.read + errors.write, errors.timeout))
end
