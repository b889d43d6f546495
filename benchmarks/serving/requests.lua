-- Sends prepared requests in turn, each with an X-Request-ID that was never sent before.
-- Arguments after wrk's "--": the file of requests, each as "HEAD TAIL\n" (lengths in bytes) and the bytes of both, the
-- id between them; then "turns", or "constant" to send the first one for ever: what wrk can do when it computes nothing.
--
-- An id is 32 hexadecimal digits: 16 of this run, 8 of the pass over the file, 8 of the place in it. The requests are
-- written once, and a pass changes 8 bytes of each in place: to join strings anew would cost wrk a tenth more time.

local ffi = require("ffi")
local requests, places = {}, {}
local count, at, pass, digits = 0, 0, 0, nil

local function read(path)
  local file = assert(io.open(path, "rb"))
  math.randomseed(tonumber(tostring({}):match("0x(%x+)"), 16) + os.time())
  local run = string.format("%08x%08x", os.time(), math.random(0, 0x7fffffff))
  for line in file:lines() do
    local head, tail = line:match("^(%d+) (%d+)$")
    local before = file:read(tonumber(head)) .. run
    local id = string.format("%08x%08x", 0, #requests)
    local whole = before .. id .. file:read(tonumber(tail))
    table.insert(requests, whole)
    table.insert(places, ffi.cast("int64_t *", ffi.cast("const char *", whole) + #before))
  end
  count = #requests
  file:close()
end

local function next_pass()
  at, pass = 1, pass + 1
  digits = ffi.cast("const int64_t *", string.format("%08x", pass))[0]
end

function init(args)
  read(args[1])
  next_pass()
  at = 0
  if args[2] == "constant" then
    request = nil -- a global of that name is what makes wrk ask before each request
    wrk.request = function() return requests[1] end
  end
end

function request()
  at = at + 1
  if at > count then next_pass() end
  places[at][0] = digits
  return requests[at]
end

function done(summary, latency, _)
  local errors = summary.errors
  print(string.format(
    'figures {"requests": %d, "microseconds": %d, "received": %d, "p50": %d, "p90": %d, "p99": %d, "slowest": %d, ' ..
    '"refused": %d, "broken": %d, "late": %d}',
    summary.requests, summary.duration, summary.bytes, latency:percentile(50), latency:percentile(90),
    latency:percentile(99), latency.max, errors.status, errors.connect + errors.read + errors.write, errors.timeout))
end
