-- Asks for the status of random users. The first argument is their number, the second the delay of
-- a connection before each request in milliseconds (0: as fast as answers come).

local users, pause = 1, 0

function init(arguments)
  users = tonumber(arguments[1])
  pause = tonumber(arguments[2])
  math.randomseed(tonumber(arguments[3]))
  if pause == 0 then
    delay = nil
  end
end

function delay()
  return pause
end

function request()
  return wrk.format("GET", string.format("/v1/users/u%08d/status", math.random(0, users - 1)))
end

function done(summary, latency, requests)
  io.write(string.format("RESULT %d %d %f %f %d\n", summary.requests, summary.duration,
    latency:percentile(50), latency:percentile(99),
    summary.errors.status + summary.errors.connect + summary.errors.read + summary.errors.write + summary.errors.timeout))
end
