-- Says that an instance is there. KEYS[1]: where instances stand, by when they end. ARGV: its name;
-- how long that lasts, in microseconds, or 0 where it goes. Answers how many are there.
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local lasts = tonumber(ARGV[2])
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', string.format('%.0f', now))
if lasts == 0 then
    redis.call('ZREM', KEYS[1], ARGV[1])
else
    local latest = string.format('%.0f', now + lasts)
    -- None is further ahead, unless the clock has gone back.
    for _, ahead in ipairs(redis.call('ZRANGEBYSCORE', KEYS[1], '(' .. latest, '+inf')) do
        redis.call('ZADD', KEYS[1], latest, ahead)
    end
    redis.call('ZADD', KEYS[1], latest, ARGV[1])
    redis.call('PEXPIRE', KEYS[1], string.format('%.0f', math.ceil(lasts / 1000) * 2))
end
return tostring(redis.call('ZCARD', KEYS[1]))
