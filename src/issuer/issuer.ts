import { Fault } from '#kernel';
import { parent } from '#oauth';
import { stalest } from '#store';
import { userinfo } from './access-tokens.ts';
import { answer, authorize, carry, resume } from './authorize.ts';
import { createBackchannel } from './backchannel.ts';
import { createClients } from './clients.ts';
import type { Issuer, Issuing, ProtocolRequest, RegistrationRequest } from './contract.ts';
import type { IssuerDeps, IssuerGround } from './deps.ts';
import { createDetailsTypes } from './details-types.ts';
import { createDevices } from './devices.ts';
import { dpopNonce } from './dpop.ts';
import { createEndings } from './endings.ts';
import { endOwnGrant, grantsOf, grantsPage } from './grants.ts';
import { createImportedKeys } from './imported-keys.ts';
import { createKeys, nextKey } from './keys.ts';
import { createLifetimes } from './lifetimes.ts';
import { longestUntil } from './lives.ts';
import { leave, logout } from './logout.ts';
import { logoutJobKind } from './logout-jobs.ts';
import { matrix } from './matrix.ts';
import { metadataOf } from './metadata.ts';
import { readParameters } from './parameters.ts';
import { register } from './registration.ts';
import { endRegistration, readRegistration, replaceRegistration } from './registration-management.ts';
import { createRegistrationTokens } from './registration-tokens.ts';
import { createResources } from './resources.ts';
import { endWithSession, hangingOn } from './session-grants.ts';
import { sweep } from './sweep.ts';
import { endedSince } from './tell-endings.ts';
import { createTrustedIssuers } from './trusted-issuers.ts';
import { choose, waitingFor } from './waiting-requests.ts';

/** OAuth 2.1 and OpenID Connect: we issue. */
export function createIssuer(ground: IssuerGround): Issuer {
  const keys = createKeys(ground);
  const importedKeys = createImportedKeys(ground);
  const clients = createClients(ground);
  const resources = createResources(ground);
  const trustedIssuers = createTrustedIssuers(ground);
  const detailsTypes = createDetailsTypes(ground);
  const lifetimes = createLifetimes(ground);
  const endings = createEndings(ground);
  const deps: IssuerDeps = { ...ground, keys, clients, resources, trustedIssuers, detailsTypes, lifetimes, importedKeys, endings };
  const stopHearing = ground.identity.whenUserEnds((tx, { id, epoch, organization }) =>
    endings.insert(tx, { organization, subject: parent.user(id, epoch), expiresAt: longestUntil(ground.clock.now()) }),
  );
  ground.signin.whenEnded((tx, session) => endWithSession(deps, tx, session));
  /** Who may have ended meanwhile is not let in (SECURITY 16). */
  const fresh = () => {
    if (ground.changes.age() > stalest) throw new Fault('stale_revocations');
  };
  const parsed = (at: Issuing, { parameters, authorization, sender }: ProtocolRequest) => {
    fresh();
    return { at, parameters: readParameters(parameters), authorization, sender };
  };

  return Object.freeze({
    async at(slug) {
      const organization = await ground.identity.organizationBySlug(slug);
      return { organization, issuer: organization.issuer, registration: ground.registration };
    },
    metadata: async (at) =>
      metadataOf(at, {
        resources: await resources.registered(at.organization.id),
        detailsTypes: await detailsTypes.registered(at.organization.id),
        certificates: ground.clientCertificates === true,
      }),
    async keySet(at) {
      // A key is there before the first token is: whoever fetches the set early has it.
      await keys.signer(at.organization.id, 'ES256');
      const published = [...(await keys.published(at.organization.id)), ...(await importedKeys.published(at.organization.id))];
      return { keys: published.map(({ jwk }) => jwk) };
    },
    async authorize(at, query, browsing) {
      fresh();
      return authorize(deps, at, query, browsing);
    },
    async carry(at, form, address) {
      fresh();
      return carry(deps, at, form, address);
    },
    async resume(at, transaction, browsing) {
      fresh();
      return resume(deps, at, transaction, browsing);
    },
    async answer(at, transaction, browsing, said) {
      fresh();
      return answer(deps, at, transaction, browsing, said);
    },
    async choose(at, transaction, browsing) {
      fresh();
      return choose(deps, at, transaction, browsing);
    },
    waiting: (at, transaction, binding) => waitingFor(deps, at, transaction, binding),
    push: async (at, request, address) => matrix.push.run(deps, { ...parsed(at, request), address }),
    async logout(at, query, session, said) {
      fresh();
      return logout(deps, at, { parameters: readParameters(query), session, said });
    },
    leave: (at, session) => leave(deps, at, session),
    hangingOn: (organization, sid) => hangingOn(deps, organization, sid),
    token: async (at, request) => matrix.token.run(deps, parsed(at, request)),
    devices: createDevices(deps, parsed),
    backchannel: createBackchannel(deps, parsed),
    introspect: async (at, request) => matrix.introspect.run(deps, parsed(at, request)),
    introspectSigned: async (at, request) => matrix.introspectSigned.run(deps, parsed(at, request)),
    revoke: async (at, request) => matrix.revoke.run(deps, parsed(at, request)),
    nonce: (at) => (ground.dpopNonce === true ? dpopNonce(deps, at) : undefined),
    userinfo: (at, request) => userinfo(deps, at, request),
    endedSince: (at, asked) => endedSince(deps, at, asked),
    grants: (organization, user) => grantsOf(deps, organization, user),
    grantsPage: (organization, user, query) => grantsPage(deps, organization, user, query),
    endGrant: (by, id) => endOwnGrant(deps, by, id),
    async register(at, request) {
      fresh();
      return register(deps, at, request);
    },
    registration: Object.freeze({
      read: (at: Issuing, client: string, request: RegistrationRequest) => readRegistration(deps, at, client, request),
      replace: (at: Issuing, client: string, request: RegistrationRequest) => replaceRegistration(deps, at, client, request),
      end: (at: Issuing, client: string, request: RegistrationRequest) => endRegistration(deps, at, client, request),
    }),
    registrationTokens: createRegistrationTokens(ground),
    clients,
    resources,
    trustedIssuers,
    detailsTypes,
    lifetimes,
    importedKeys,
    signingKeys: (organization) => keys.facts(organization),
    nextSigningKey: (by, algorithm) => nextKey(keys, by, algorithm),
    jobKinds: [logoutJobKind(deps)],
    sweep: () => sweep(deps),
    async close() {
      stopHearing();
      keys.close();
      importedKeys.close();
      clients.close();
      resources.close();
      trustedIssuers.close();
      detailsTypes.close();
      lifetimes.close();
      endings.close();
    },
  } satisfies Issuer);
}
