-- Says that something is still there. KEYS[1]: where such things stand, by when they end.
-- ARGV: "keep", where it must be there already, or "beat"; its name; how long it lasts, in
-- microseconds. Answers how many are there.
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local ends, lasts = string.format('%.0f', now + ARGV[3]), math.ceil(ARGV[3] / 1000) * 2
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', string.format('%.0f', now))
if ARGV[1] == 'beat' or redis.call('ZSCORE', KEYS[1], ARGV[2]) then
    redis.call('ZADD', KEYS[1], ends, ARGV[2])
    redis.call('PEXPIRE', KEYS[1], string.format('%.0f', lasts))
end
return tostring(redis.call('ZCARD', KEYS[1]))
