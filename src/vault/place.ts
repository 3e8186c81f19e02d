import { Fault, parseId } from '#kernel';
import type { Label, Place } from './contract.ts';

/** Names in keys (SECURITY 19). */
const nameShape = /^[a-z0-9][a-z0-9._-]{0,63}$/;
const kinds = ['connection', 'client', 'secret'] as const;

/** `vault:<vault>:<provider>:<kind>:<name>`. @throws {Fault} `invalid_request` for a name that is not one */
export function keyOf(place: Place): string {
  if (!nameShape.test(place.provider) || !nameShape.test(place.name)) {
    throw new Fault('invalid_request', { detail: 'a name uses 1 to 64 of a-z, 0-9, dot, dash and underscore' });
  }
  return `vault:${place.vault}:${place.provider}:${place.kind}:${place.name}`;
}

/** The label of what lies at `place`: its key without prefix, and its version. */
export function labelOf(place: Place, version: number): Label {
  const owner = { kind: 'vault', organization: place.organization, vault: place.vault } as const;
  return { owner, key: `${place.provider}:${place.kind}:${place.name}`, version };
}

/** The place of a key of the SealedStore, given the organization that its data key names; undefined for other keys. */
export function placeOf(key: string, scope: string): Place | undefined {
  const [prefix, vaultText = '', provider = '', kindText = '', name = ''] = key.split(':');
  const organization = parseId('org', scope.split(':')[1] ?? '');
  const vault = parseId('vlt', vaultText);
  const kind = kinds.find((one) => one === kindText);
  if (prefix !== 'vault' || organization === undefined || vault === undefined || kind === undefined) return undefined;
  return { organization, vault, provider, kind, name };
}
