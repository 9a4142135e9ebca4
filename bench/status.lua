-- Asks for the status of random users, with a service's key or with each user's own token.
-- Arguments: how many users, requests per second (0: as fast as answers come), seed, key, file of tokens.

local ffi = require("ffi")
ffi.cdef("typedef struct { long seconds, nanoseconds; } bench_time; int clock_gettime(int, bench_time *);")
local read_time = ffi.new("bench_time")
local users, gap_ms, due_ms
-- Written once, because wrk runs on the cores that the server runs on.
local head, tail
local by_token = {}

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
  local function written(path, credential)
    return wrk.format("GET", path, { ["Authorization"] = "Bearer " .. credential })
  end
  head, tail = written("/v1/users/USER/status", arguments[4]):match("^(.*)USER(.*)$")
  if arguments[5] then
    for token in io.lines(arguments[5]) do
      table.insert(by_token, written("/v1/me/status", token))
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
  if #by_token > 0 then
    return by_token[math.random(#by_token)]
  end
  return head .. string.format("u%08d", math.random(0, users - 1)) .. tail
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
