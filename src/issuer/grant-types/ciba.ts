import { Fault } from '#kernel';
import { sha256 } from '#store';
import { type BackchannelRow, backchannelRequestBy, reachOf, redeemBackchannelRequest } from '../backchannel.sql.ts';
import type { TokenAnswer } from '../contract.ts';
import type { IssuerDeps } from '../deps.ts';
import { endGrant } from '../grants.ts';
import { beginGrant, type Granted } from '../new-grant.ts';
import { keepPace } from '../pace.ts';
import type { Allowed } from '../stages.ts';
import type { GrantType } from './index.ts';

/** A client asks whether the person has answered (CIBA §10.1, §11). One poll gets the tokens. */
export const ciba: GrantType = {
  refreshes: true,
  proven: true,
  async redeem(deps, asked) {
    const text = asked.parameters.one('auth_req_id');
    if (text === undefined) throw new Fault('invalid_request', { detail: 'The parameter auth_req_id is missing' });
    const hash = sha256(text);
    const row = await deps.records.in(asked.at.organization.id).read((tx) => backchannelRequestBy(tx, hash));
    if (row === undefined || row.client_id !== asked.client.id) throw new Fault('grant_invalid');
    if (row.status === 'redeemed') return refuseReplay(deps, row);
    if (row.expires_at <= deps.clock.now()) throw new Fault('request_expired');
    await keepPace(deps, hash, row.expires_at - row.created_at);
    if (row.status === 'waiting') throw new Fault('authorization_pending');
    if (row.status !== 'approved') throw new Fault('consent_refused');
    return collect(deps, asked, row);
  },
};

function collect(deps: IssuerDeps, asked: Allowed, row: BackchannelRow): Promise<TokenAnswer> {
  const granted: Granted = {
    organization: row.organization_id,
    client: row.client_id,
    user: row.user_id,
    ...reachOf(row),
    authenticatedAt: row.authenticated_at ?? 0,
    epochs: { user: row.user_epoch ?? 0, organization: row.organization_epoch ?? 0 },
  };
  return beginGrant(deps, asked, {
    granted,
    async spend(tx, grant) {
      if (!(await redeemBackchannelRequest(tx, row.id, row.client_id, grant.id))) throw new Fault('grant_invalid');
    },
  });
}

/** What was made from it the first time ends, as with a code. @throws {Fault} `grant_invalid` */
async function refuseReplay(deps: IssuerDeps, row: BackchannelRow): Promise<never> {
  if (row.grant_id !== null) await endGrant(deps, row.organization_id, row.grant_id, 'code_replayed');
  throw new Fault('grant_invalid');
}
