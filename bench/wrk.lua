-- wrk's side of bench/wrk.py. Every request has a number of its own, every answer is looked at, and at the end each
-- connection waits for its last answer, so that no call is counted that the server has not finished, nor the reverse.
local ffi = require("ffi")
ffi.cdef [[
  struct instant { long seconds; long nanoseconds; };
  int clock_gettime(int clock, struct instant *now);
  int getpid(void);
  int kill(int pid, int signal);
]]

local MONOTONIC, INTERRUPT, FOR_EVER = 1, 2, 3600000
local instant = ffi.new("struct instant")
local threads = {}

local function now()
  ffi.C.clock_gettime(MONOTONIC, instant)
  return tonumber(instant.seconds) + tonumber(instant.nanoseconds) / 1e9
end

local function content(path)
  local file = assert(io.open(path, "rb"))
  local text = file:read("*a")
  file:close()
  return text
end

function setup(thread)
  table.insert(threads, thread)
end

function init(arguments)
  before, after, mark = content(arguments[1]), content(arguments[2]), arguments[5]
  connections, length = tonumber(arguments[3]), tonumber(arguments[4])
  number = os.time() % 9000 * 1000000 -- so that no two runs send the same
  good, bad, marked, idle = 0, 0, 0, 0
end

function request()
  if not begun then begun = now() end
  number = number + 1
  if after == "" then return before end
  return before .. string.format("%010d", number) .. after
end

function response(status, headers, body)
  last = now()
  if status ~= 200 then
    bad = bad + 1
    return
  end
  good = good + 1
  if mark == "" or (headers[mark] or "") == "hit" then marked = marked + 1 end
end

function delay()
  if not begun or now() < begun + length then return 0 end
  idle = idle + 1
  if idle == connections then ffi.C.kill(ffi.C.getpid(), INTERRUPT) end -- as if by Ctrl-C: wrk sums up and ends
  return FOR_EVER
end

function done(summary, latency)
  local thread, errors = threads[1], summary.errors
  io.write(string.format(
    '\n{"calls": %d, "refused": %d, "marked": %d, "seconds": %.6f, "p50_ms": %.3f, "p99_ms": %.3f, "broken": %d}\n',
    thread:get("good"), thread:get("bad"), thread:get("marked"),
    (thread:get("last") or 0) - (thread:get("begun") or 0),
    latency:percentile(50) / 1000, latency:percentile(99) / 1000,
    errors.connect + errors.read + errors.write + errors.timeout
  ))
end
