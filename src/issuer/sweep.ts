import { forgetBackchannelRequests } from './backchannel.sql.ts';
import type { IssuerDeps } from './deps.ts';
import { forgetEndings } from './endings.sql.ts';
import { forgetGrants } from './grants.sql.ts';
import { forgetImportedKeys } from './imported-keys.sql.ts';
import { deleteSigningKeys, organizationsWithKeys } from './keys.sql.ts';
import { retiresAt, system, unlessTaken } from './keys.ts';
import { lives } from './lives.ts';
import { forgetRefreshTokens } from './refresh-tokens.sql.ts';
import { forgetRegistrations } from './registration-upkeep.ts';
import { forgetSessionClients } from './session-clients.sql.ts';

const everybody = 'what issued tokens hang on, of every organization';
const atOnce = 500;

/** Removes what is dead by itself, and makes the keys that are due; in small batches. */
export async function sweep(deps: IssuerDeps): Promise<number> {
  const platform = deps.records.platform(everybody);
  const dead = deps.clock.now() - lives.kept;
  const batch = () =>
    platform.write(async (tx) => {
      const grants = await forgetGrants(tx, dead, atOnce);
      await forgetRefreshTokens(tx, grants);
      const requests = await forgetBackchannelRequests(tx, dead - lives.longestRefreshIdle, atOnce);
      const keys = await forgetImportedKeys(tx, dead, atOnce);
      const told = await forgetSessionClients(tx, dead - lives.session, atOnce);
      return grants.length + requests + keys + told + (await forgetEndings(tx, dead, atOnce));
    });
  let forgotten = 0;
  for (let last = atOnce; last >= atOnce; forgotten += last) last = await batch();
  for (let last = atOnce; last >= atOnce; forgotten += last) last = await forgetRegistrations(deps, atOnce);
  const organizations = await platform.read(organizationsWithKeys);
  for (const organization of organizations) await renewKeys(deps, organization);
  return forgotten;
}

/** Of any number of replicas that look at once, one makes the next key. */
async function renewKeys(deps: IssuerDeps, organization: Parameters<typeof system>[0]): Promise<void> {
  const now = deps.clock.now();
  const ring = await deps.keys.all(organization);
  const dead = ring.filter((key) => retiresAt(key, ring) <= now - lives.kept).map(({ id }) => id);
  const newest = new Map(ring.map((key) => [key.algorithm, key]));
  for (const key of newest.values()) {
    if (now - key.signsFrom < (deps.keySigns ?? lives.keySigns)) continue;
    const store = await deps.keys.next(system(organization), key.algorithm);
    await deps.records.in(organization).write(store).catch(unlessTaken);
  }
  if (dead.length === 0) return;
  await deps.records.in(organization).write(async (tx) => {
    await deleteSigningKeys(tx, dead);
    await tx.bump('issuing');
  });
}
