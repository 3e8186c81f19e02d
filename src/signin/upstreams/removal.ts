import { Fault, type Principal } from '#kernel';
import type { Writing } from '#store';
import { endUnprovenIn } from '../sessions.ts';
import type { Upstream, UpstreamEnds } from './contract.ts';
import type { UpstreamGround } from './deps.ts';
import { deleteSomeMethodsOf } from './methods.sql.ts';
import { deleteUpstream, holdUpstream } from './upstreams.sql.ts';

const atOnce = 100;

/**
 * Removes an upstream with all that rests on its word: the accounts linked through it, and the sessions of these people that no
 * password of ours stands for. It goes last itself, so that what was interrupted can be begun again.
 * @throws {Fault} `upstream_unknown`
 */
export async function removeUpstream(deps: UpstreamGround, by: Principal, upstream: Upstream): Promise<UpstreamEnds> {
  let linked = 0;
  for (let last = atOnce; last >= atOnce; linked += last)
    last = await deps.records.in(by.organization).write((tx) => removeSome(deps, tx, by, upstream, linked));
  return { upstream, linked };
}

/** Sessions are looked for after the links are gone, so that none is begun from them meanwhile. */
async function removeSome(deps: UpstreamGround, tx: Writing, by: Principal, upstream: Upstream, before: number): Promise<number> {
  const { organization } = by;
  if (!(await holdUpstream(tx, organization, upstream.id))) throw new Fault('upstream_unknown');
  const people = await deleteSomeMethodsOf(tx, organization, upstream.id, atOnce);
  for (const user of new Set(people)) await endUnprovenIn(deps, tx, by, user, 'upstream_removed');
  if (people.length < atOnce) {
    await deleteUpstream(tx, organization, upstream.id);
    const fields = { upstream: upstream.id, name: upstream.name, linked: before + people.length };
    await deps.audit.record(tx, { name: 'upstream.removed', principal: by, fields });
  }
  await tx.bump('identity');
  return people.length;
}
