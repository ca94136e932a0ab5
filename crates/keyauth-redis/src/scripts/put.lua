-- KEYS[1]: the entry. ARGV: versions and sealed record, lifetime in milliseconds.
-- Five versions of eight bytes stand before the record, the key's first.
local there = redis.pcall('GETRANGE', KEYS[1], 0, 39)
if type(there) == 'string' and #there == 40 then
    local format = '>I4I4I4I4I4I4I4I4I4I4'
    local old = { struct.unpack(format, there) }
    local new = { struct.unpack(format, ARGV[1]) }
    local function compare(at)
        if old[at] ~= new[at] then return old[at] - new[at] end
        return old[at + 1] - new[at + 1]
    end
    local key = compare(1)
    if key > 0 then return 0 end
    if key == 0 then
        for at = 3, 9, 2 do
            if compare(at) > 0 then return 0 end
        end
    end
end
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
return 1
