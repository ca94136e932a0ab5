-- Keeps places among calls at once for longer, or gives them back. KEYS: where each stands. ARGV:
-- how long, in microseconds, or 0 to give back; then the name of each. One that cannot be kept
-- keeps no other from it. Answers how many could not.
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local lasts, failed = tonumber(ARGV[1]), 0
for at, key in ipairs(KEYS) do
    local done
    if lasts == 0 then
        done = redis.pcall('ZREM', key, ARGV[at + 1])
    else
        done = redis.pcall('ZADD', key, string.format('%.0f', now + lasts), ARGV[at + 1])
        redis.pcall('PEXPIRE', key, string.format('%.0f', math.ceil(lasts / 1000) * 2))
    end
    if type(done) == 'table' and done.err then failed = failed + 1 end
end
return tostring(failed)
