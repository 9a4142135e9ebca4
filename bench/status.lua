-- Asks for the status of random users, with a service's key or with each user's own token.
-- Arguments: how many users, requests per second (0: as fast as answers come), seed, key, file of tokens.

local ffi = require("ffi")
ffi.cdef("typedef struct { long seconds, nanoseconds; } bench_time; int clock_gettime(int, bench_time *);")
local read_time = ffi.new("bench_time")
local users, gap_ms, due_ms, key
local tokens = {}

-- Globals, because `done` asks for them by name.
asked, late = 0, 0

local function now_ms()
  ffi.C.clock_gettime(1, read_time)
  return tonumber(read_time.seconds) * 1000 + tonumber(read_time.nanoseconds) / 1000000
end

local threads = {}
function setup(thread)
  table.insert(threads, thread)
end

function init(arguments)
  users = tonumber(arguments[1])
  math.randomseed(tonumber(arguments[3]))
  key = { ["Authorization"] = "Bearer " .. arguments[4] }
  if arguments[5] then
    for token in io.lines(arguments[5]) do
      table.insert(tokens, { ["Authorization"] = "Bearer " .. token })
    end
  end
  local rate = tonumber(arguments[2])
  if rate == 0 then
    delay = nil
  else
    gap_ms = 1000 / rate
    due_ms = now_ms()
  end
end

-- One schedule for all connections: whichever is free takes the next place, so the rate holds
-- as long as the server keeps up, and places that are taken late are counted.
function delay()
  due_ms = due_ms + gap_ms
  local wait_ms = due_ms - now_ms()
  asked = asked + 1
  if wait_ms < -10 then
    late = late + 1
  end
  return wait_ms > 0 and math.floor(wait_ms + 0.5) or 0
end

function request()
  if #tokens > 0 then
    return wrk.format("GET", "/v1/me/status", tokens[math.random(#tokens)])
  end
  return wrk.format("GET", string.format("/v1/users/u%08d/status", math.random(0, users - 1)), key)
end

function done(summary, latency, requests)
  local failed = summary.errors
  local all_asked, all_late = 0, 0
  for _, thread in ipairs(threads) do
    all_asked = all_asked + thread:get("asked")
    all_late = all_late + thread:get("late")
  end
  io.write(string.format("RESULT %d %d %f %f %d %f\n", summary.requests, summary.duration,
    latency:percentile(50), latency:percentile(99),
    failed.status + failed.connect + failed.read + failed.write + failed.timeout,
    all_late / math.max(all_asked, 1)))
end
