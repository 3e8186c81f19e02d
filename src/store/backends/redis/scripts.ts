import { createHash } from 'node:crypto';

/** A script of one key: run by its hash, or by its text where the server does not know it yet. */
export interface Script {
  readonly text: string;
  readonly hash: string;
}

function script(text: string): Script {
  return { text, hash: createHash('sha1').update(text).digest('hex') };
}

/** Removes the key if it holds ARGV[1]. */
export const dropScript = script(`if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('DEL', KEYS[1]) end
return 0`);

/** Counts in a window that the first call opens, of ARGV[1] milliseconds. ARGV[2] is the format byte. */
export const bumpScript = script(`local held = redis.call('GET', KEYS[1])
if not held then
  redis.call('SET', KEYS[1], ARGV[2] .. '1', 'PX', ARGV[1])
  return 1
end
local count = (tonumber(string.match(string.sub(held, 2), '^%d+')) or 0) + 1
redis.call('SET', KEYS[1], ARGV[2] .. string.format('%.0f', count), 'KEEPTTL')
return count`);

/**
 * The epoch of this node: its replication id, which changes with every start and every promotion, and since when its
 * values can be relied on. Begins anew when the key is gone or was written under another id. ARGV[1] is the caller's time.
 */
export const epochScript = script(`local id = string.match(redis.call('INFO', 'replication'), 'master_replid:(%x+)')
local held = redis.call('GET', KEYS[1])
if held and string.match(held, '^1(%x+) %d+$') == id then return held end
local time = redis.call('TIME')
local now = math.max(tonumber(ARGV[1]), tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000))
local epoch = '1' .. id .. ' ' .. string.format('%.0f', now)
redis.call('SET', KEYS[1], epoch)
return epoch`);

/** Writes ARGV[2] if the stored version is ARGV[1]. A value begins with the format byte, its version and a space. */
export const replaceScript = script(`local head = redis.call('GETRANGE', KEYS[1], 0, 20)
local version = '0'
if head ~= '' then version = string.match(head, '^1(%d+) ') end
if version ~= ARGV[1] then return 0 end
redis.call('SET', KEYS[1], ARGV[2])
return 1`);

/** Removes the value if its version is ARGV[1]. */
export const removeScript = script(`local head = redis.call('GETRANGE', KEYS[1], 0, 20)
if string.match(head, '^1(%d+) ') ~= ARGV[1] then return 0 end
return redis.call('DEL', KEYS[1])`);
