-- Forgets what somebody has used. KEYS[1]: where that stands. What stays is when it was, so that
-- days and months that were recorded are not begun with.
local time = redis.call('TIME')
redis.call('DEL', KEYS[1])
redis.call('HSET', KEYS[1], '', string.format('%.0f', time[1] * 1000000 + time[2]))
redis.call('PEXPIRE', KEYS[1], '2764800000')
return 'done'
