import { expect, test } from 'vitest';
import { lives } from '#issuer';
import { openIssuance } from '../../test/support/issuing.ts';

test('what ends after everything earlier was forgotten is refused too', async () => {
  const issuance = await openIssuance();
  const { people, issuer } = issuance;
  const client = await issuance.add();
  for (let round = 0; round < 3; round++) {
    const { accessToken } = await issuance.tokens(client);
    expect(await issuance.active(client, accessToken.reveal())).toBe(true);
    for (const { id } of await issuer.grants(issuance.at.organization.id, issuance.session.user.id))
      expect(await issuer.endGrant(issuance.by, id)).toBe(true);
    expect(await issuance.active(client, accessToken.reveal())).toBe(false);
    await people.pass(lives.longestToken + lives.skew + 1);
    await issuer.sweep();
  }
});
