import type { z } from 'zod';
import type { schemas } from '#api';
import type { User } from '#identity';
import type { TrustedIssuerDraft } from '#issuer';
import { Fault, type Principal, parseId } from '#kernel';
import type { Rooms } from './contract.ts';
import { administers } from './rights.ts';

export type NewTrust = z.output<typeof schemas.newTrust>;

/**
 * What an administrator asked for, as the issuer takes it: the client is one of the organization, and so is the person.
 * @throws {Fault} `client_unknown`, `invalid_request`
 */
export async function trustDraft(
  rooms: Pick<Rooms, 'issuer' | 'identity' | 'organization'>,
  by: Principal,
  given: NewTrust,
): Promise<TrustedIssuerDraft> {
  const { issuer, subjects, claims } = given;
  const client = await rooms.issuer.clients.find(rooms.organization.id, given.client);
  if (client === undefined) throw new Fault('client_unknown');
  if (!client.grantTypes.includes('urn:ietf:params:oauth:grant-type:jwt-bearer'))
    throw new Fault('invalid_request', { fields: { '/client': 'it is not registered for the grant type jwt-bearer' } });
  const user = await trustedUser(rooms, given.user);
  // Else an administrator would have tokens of another one, or of the owner.
  if (user !== undefined && administers(user) && !(by.subject.kind === 'user' && by.subject.id === user.id))
    throw new Fault('invalid_request', { fields: { '/user': 'who administers the organization can only be named by themselves' } });
  return { issuer, keys: keysOf(given), client: client.id, user: user?.id, subjects, claims };
}

function keysOf({ jwks, jwks_uri: uri }: NewTrust): TrustedIssuerDraft['keys'] {
  if (jwks !== undefined && uri !== undefined) throw new Fault('invalid_request', { fields: { '/jwks': 'keys are given in one way' } });
  if (jwks !== undefined) return { kind: 'jwks', keys: jwks };
  return uri === undefined ? { kind: 'discovery' } : { kind: 'jwks_uri', uri };
}

export async function trustedUser(
  { identity, organization }: Pick<Rooms, 'identity' | 'organization'>,
  given: string | undefined,
): Promise<User | undefined> {
  if (given === undefined) return undefined;
  const id = parseId('usr', given);
  const user = id === undefined ? await identity.userByEmail(organization.id, given) : await identity.user(organization.id, id);
  if (user === undefined) throw new Fault('invalid_request', { fields: { '/user': 'there is no such person here' } });
  return user;
}
