import { z } from 'zod';

const minute = 60;
const hour = 60 * minute;
const day = 24 * hour;

/** What is issued, how long it usually lives, and between what it may be set; in seconds. The only list. */
export const lifeBounds = {
  access_token: { usual: 15 * minute, least: minute, most: day, tells: 'access tokens' },
  id_token: { usual: hour, least: minute, most: day, tells: 'ID tokens' },
  code: { usual: minute, least: 10, most: 10 * minute, tells: 'authorization codes' },
  pushed_request: { usual: minute, least: 10, most: 10 * minute, tells: 'pushed requests' },
  device_code: { usual: 10 * minute, least: minute, most: 30 * minute, tells: 'device codes' },
  refresh_idle: { usual: 14 * day, least: hour, most: 365 * day, tells: 'refresh tokens that are not used' },
  grant: { usual: 90 * day, least: hour, most: 730 * day, tells: 'grants, whatever is done with them' },
} as const;

export type LifeName = keyof typeof lifeBounds;
export const lifeNames = Object.keys(lifeBounds) as readonly LifeName[];

/** Lives that differ from the usual ones, in seconds. */
export type Lives = { readonly [N in LifeName]?: number | undefined };

const life = (name: LifeName) => {
  const { least, most, tells } = lifeBounds[name];
  return z.int().min(least).max(most).optional().describe(`seconds, of ${tells}`);
};

export const livesSchema = z.strictObject({
  access_token: life('access_token'),
  id_token: life('id_token'),
  code: life('code'),
  pushed_request: life('pushed_request'),
  device_code: life('device_code'),
  refresh_idle: life('refresh_idle'),
  grant: life('grant'),
});

const units: Readonly<Record<string, number>> = { s: 1, m: minute, h: hour, d: day };

/** `access_token=30m`, as settings and commands write it; a sentence where it is not so. */
export function parseLives(texts: readonly string[]): Lives | string {
  const found: Partial<Record<LifeName, number>> = {};
  for (const text of texts) {
    const [, word = '', count, unit = ''] = /^([a-z_-]+)=(\d{1,6})([smhd])$/.exec(text) ?? [];
    const name = lifeNames.find((known) => known === word.replaceAll('-', '_'));
    if (name === undefined || count === undefined) return `write lives as access_token=30m; there are: ${lifeNames.join(', ')}`;
    const seconds = Number(count) * (units[unit] ?? 0);
    const { least, most } = lifeBounds[name];
    if (seconds < least || seconds > most) return `${name} lives from ${least} to ${most} seconds`;
    found[name] = seconds;
  }
  return found;
}
