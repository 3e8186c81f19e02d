import { describe, expect, onTestFinished } from 'vitest';
import { callback, faultOf } from '../support/issuing.ts';
import {
  approvedDevice,
  approvedRequest,
  bearerGrant,
  cibaGrant,
  deviceGrant,
  openPair,
  places,
  trustedSigner,
} from '../support/issuing-pair.ts';
import { count, testWith } from '../support/need.ts';

const rounds = count(3, 1_000);
const crowd = Array.from({ length: 12 }, (_, index) => (index % 2) as 0 | 1);

async function openedAt(place: (typeof places)[number]) {
  const pair = await openPair(await place.make());
  onTestFinished(pair.close);
  return pair;
}

describe.each(places)('two replicas that issue, on $name', (place) => {
  testWith(...place.needs)(
    'make one signing key, redeem a code once, and give a refresh token one successor',
    async () => {
      const pair = await openedAt(place);
      const sets = await Promise.all(crowd.map(async (which) => pair.both[which].keySet(await pair.both[which].at(undefined))));
      expect(new Set(sets.flatMap(({ keys }) => keys.map(({ kid }) => kid))).size).toBe(1);
      const client = await pair.first.add();
      await pair.heard();
      for (let round = 0; round < rounds; round++) {
        const { code, verifier } = await pair.first.code(client);
        const given = { grant_type: 'authorization_code', code, code_verifier: verifier, redirect_uri: callback };
        const tries = await Promise.allSettled(crowd.map((which) => pair.ask(which, client, given)));
        expect(tries.filter(({ status }) => status === 'fulfilled').length).toBe(1);

        const token = (await pair.first.tokens(client)).refreshToken?.reveal() ?? '';
        const refresh = { grant_type: 'refresh_token', refresh_token: token };
        const answers = await Promise.all(crowd.map((which) => pair.ask(which, client, refresh)));
        expect(new Set(answers.map(({ refreshToken }) => refreshToken?.reveal())).size).toBe(1);
      }
    },
    count(60_000, 1_800_000),
  );

  testWith(...place.needs)(
    'redeem once what a person approved elsewhere, and an assertion of a trusted issuer',
    async () => {
      const pair = await openedAt(place);
      const client = await pair.first.add({ grantTypes: [deviceGrant, cibaGrant, bearerGrant] });
      const signer = await trustedSigner(pair.first, client);
      await pair.heard();
      for (let round = 0; round < rounds; round++) {
        const grants = [
          { grant_type: deviceGrant, device_code: await approvedDevice(pair, client) },
          { grant_type: bearerGrant, assertion: await signer() },
          // One client asks one person five times in ten minutes.
          ...(round < 3 ? [{ grant_type: cibaGrant, auth_req_id: await approvedRequest(pair, client) }] : []),
        ];
        for (const given of grants) {
          const tries = await Promise.allSettled(crowd.map((which) => pair.ask(which, client, given)));
          expect(tries.filter(({ status }) => status === 'fulfilled').length, given.grant_type).toBe(1);
        }
      }
    },
    count(60_000, 1_800_000),
  );

  testWith(...place.needs)(
    'refuse on both what was ended on one, within a second',
    async () => {
      const pair = await openedAt(place);
      const client = await pair.first.add();
      await pair.heard();
      const { code, verifier } = await pair.first.code(client);
      const given = { grant_type: 'authorization_code', code, code_verifier: verifier, redirect_uri: callback };
      const { accessToken, refreshToken } = await pair.ask(1, client, given);
      const token = accessToken.reveal();
      expect([await pair.active(0, client, token), await pair.active(1, client, token)]).toEqual([true, true]);
      expect(await faultOf(pair.ask(0, client, given))).toBe('grant_invalid');
      expect(await pair.active(0, client, token)).toBe(false);
      const refresh = { grant_type: 'refresh_token', refresh_token: refreshToken?.reveal() ?? '' };
      expect(await faultOf(pair.ask(1, client, refresh))).toBe('grant_invalid');
      await expect.poll(() => pair.active(1, client, token), { timeout: 1_000, interval: 10 }).toBe(false);
    },
    60_000,
  );
});
