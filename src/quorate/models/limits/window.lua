-- What `window.py` does, in one step of the server: a list of `id:time` and a hash of sums and counts for each window.
-- KEYS: for each window its list and its hash. ARGV: the command, the most entries kept one by one, then as it says.

local MAX = tonumber(ARGV[2])
local clock = redis.call('TIME')
local now = clock[1] * 1000000 + clock[2]

local function read(text)
  local id, at = string.match(text, '^(%d+):(%d+)$')
  return id, tonumber(at)
end

local function number(hash, field)
  return tonumber(redis.call('HGET', hash, field) or '0')
end

local function trim(list, hash, per)
  local text = redis.call('LINDEX', list, 0)
  while text do
    local id, at = read(text)
    if at + per > now then
      break
    end
    redis.call('LPOP', list)
    redis.call('HINCRBY', hash, 'requests', -number(hash, 'r' .. id))
    redis.call('HINCRBY', hash, 'tokens', -number(hash, 't' .. id))
    redis.call('HDEL', hash, 'r' .. id, 't' .. id)
    text = redis.call('LINDEX', list, 0)
  end
  local newest = redis.call('LINDEX', list, -1)
  if newest then
    local _, at = read(newest)
    if at > now then
      for place, entry in ipairs(redis.call('LRANGE', list, 0, -1)) do
        local id, time = read(entry)
        if time > now then
          redis.call('LSET', list, place - 1, string.format('%s:%.0f', id, now))
        end
      end
    end
  end
end

local function find_wait(list, hash, per, most_requests, most_tokens, cost)
  local requests, tokens = number(hash, 'requests'), number(hash, 'tokens')
  local over_requests = most_requests < 0 and 0 or requests + 1 - most_requests
  local over_tokens = most_tokens < 0 and 0 or math.min(tokens, tokens + cost - most_tokens)
  if over_requests <= 0 and over_tokens <= 0 then
    return 0
  end
  local first = 0
  while true do
    local entries = redis.call('LRANGE', list, first, first + 99)
    for _, text in ipairs(entries) do
      local id, at = read(text)
      over_requests = over_requests - number(hash, 'r' .. id)
      over_tokens = over_tokens - number(hash, 't' .. id)
      if over_requests <= 0 and over_tokens <= 0 then
        return math.max(at + per - now, 1)
      end
    end
    if #entries < 100 then
      return per
    end
    first = first + 100
  end
end

local function push(list, hash, requests, tokens)
  if redis.call('EXISTS', hash) == 0 then
    redis.call('HSET', hash, 'last', string.format('%.0f', now))
  end
  local id = string.format('%.0f', redis.call('HINCRBY', hash, 'last', 1))
  redis.call('RPUSH', list, string.format('%s:%.0f', id, now))
  redis.call('HSET', hash, 'r' .. id, requests, 't' .. id, tokens)
  return id
end

local function add(list, hash, per, requests, tokens)
  local id
  if redis.call('LLEN', list) >= MAX then
    local newest, at = read(redis.call('LINDEX', list, -1))
    local grain = per / MAX
    if math.floor(at / grain) == math.floor(now / grain) then
      id = newest
      redis.call('LSET', list, -1, string.format('%s:%.0f', id, now))
      redis.call('HINCRBY', hash, 'r' .. id, requests)
      redis.call('HINCRBY', hash, 't' .. id, tokens)
    end
  end
  id = id or push(list, hash, requests, tokens)
  redis.call('HINCRBY', hash, 'requests', requests)
  redis.call('HINCRBY', hash, 'tokens', tokens)
  return id
end

local function keep(list, hash, per)
  local milliseconds = math.ceil(per / 500) + 60000
  redis.call('PEXPIRE', list, milliseconds)
  redis.call('PEXPIRE', hash, milliseconds)
end

-- ARGV behind the first two: the cost; for each window its length in microseconds, most requests, most tokens (-1: none).
-- Gives {0, ids…} or {which window, microseconds to wait}.
local function admit()
  local cost, worst, longest = tonumber(ARGV[3]), 0, 0
  for place = 1, #KEYS / 2 do
    local list, hash, at = KEYS[2 * place - 1], KEYS[2 * place], 3 * place
    local per = tonumber(ARGV[at + 1])
    trim(list, hash, per)
    local wait = find_wait(list, hash, per, tonumber(ARGV[at + 2]), tonumber(ARGV[at + 3]), cost)
    if wait > longest then
      worst, longest = place, wait
    end
  end
  if worst > 0 then
    return { worst, string.format('%.0f', longest) }
  end
  local given = { 0 }
  for place = 1, #KEYS / 2 do
    local list, hash, per = KEYS[2 * place - 1], KEYS[2 * place], tonumber(ARGV[3 * place + 1])
    given[place + 1] = add(list, hash, per, 1, cost)
    keep(list, hash, per)
  end
  return given
end

-- ARGV behind the first two: tokens and requests to add; for each window its length and the entry's id.
local function settle()
  for place = 1, #KEYS / 2 do
    local list, hash, at = KEYS[2 * place - 1], KEYS[2 * place], 3 + 2 * place
    local tokens, requests = tonumber(ARGV[3]), tonumber(ARGV[4])
    local per, id = tonumber(ARGV[at]), ARGV[at + 1]
    trim(list, hash, per)
    if redis.call('HEXISTS', hash, 't' .. id) == 1 then
      tokens = math.max(tokens, -number(hash, 't' .. id))
      requests = math.max(requests, -number(hash, 'r' .. id))
      redis.call('HINCRBY', hash, 't' .. id, tokens)
      redis.call('HINCRBY', hash, 'r' .. id, requests)
    elseif tokens > 0 then
      add(list, hash, per, 0, tokens)
      keep(list, hash, per)
      tokens, requests = 0, 0
    else
      tokens, requests = 0, 0
    end
    if tokens ~= 0 or requests ~= 0 then
      redis.call('HINCRBY', hash, 'tokens', tokens)
      redis.call('HINCRBY', hash, 'requests', requests)
      keep(list, hash, per)
    end
  end
  return { 0 }
end

if ARGV[1] == 'admit' then
  return admit()
end
return settle()
