import { nameShape } from '#api';
import { Fault } from '#kernel';
import type { PlatformClients, UpstreamDraft } from './contract.ts';
import { isAppleKey } from './credentials.ts';
import { presets } from './presets.ts';

const domainShape = /^(\*|[a-z0-9]([a-z0-9-]*[a-z0-9])?(\.[a-z0-9]([a-z0-9-]*[a-z0-9])?)+)$/;
const printable = /^[\x21-\x7e]{1,512}$/;
const scopeShape = /^[\x21\x23-\x5b\x5d-\x7e]{1,128}$/;

/** The issuer a draft ends up with. */
export function issuerOf({ kind, issuer }: Pick<UpstreamDraft, 'kind' | 'issuer'>): string {
  const given = issuer ?? presets[kind].issuer ?? '';
  return presets[kind].protocol === 'oauth2' ? given.replace(/\/+$/, '') : given;
}

/** Whether the platform's client is meant: nobody named another. */
export function isPlatforms({ clientId }: Pick<UpstreamDraft, 'clientId'>): boolean {
  return clientId === undefined;
}

/** Everything that can be wrong with a draft by itself. @throws {Fault} `upstream_unusable` with a sentence per field */
export function judgeDraft(draft: UpstreamDraft, platform: PlatformClients): void {
  const flaws: readonly (readonly [string, string | undefined])[] = [
    ['/name', nameShape.test(draft.name) ? undefined : 'use 1 to 64 of a-z, 0-9, dot, dash and underscore'],
    ['/label', draft.label === undefined || isLabel(draft.label) ? undefined : 'use 1 to 60 characters that can be seen'],
    ['/issuer', issuerFlaw(draft)],
    ['/client_id', clientFlaw(draft, platform)],
    [draft.kind === 'apple' ? '/apple_key' : '/client_secret', isPlatforms(draft) ? undefined : credentialFlaw(draft)],
    ['/scopes', draft.scopes.every((scope) => scopeShape.test(scope)) ? undefined : 'write each scope by itself'],
    ['/domains', draft.domains.every((domain) => domainShape.test(domain)) ? undefined : 'write domains like example.com, or *'],
    ['/sign_up', draft.signUp && draft.domains.length === 0 ? 'name the mail domains to believe it about, or *' : undefined],
  ];
  const fields = Object.fromEntries(flaws.filter((flaw): flaw is readonly [string, string] => flaw[1] !== undefined));
  if (Object.keys(fields).length > 0) throw new Fault('upstream_unusable', { fields });
}

function isLabel(label: string): boolean {
  return label.trim() === label && label.length > 0 && label.length <= 60 && !/[\p{Cc}\p{Cf}\p{Cs}\u2028\u2029]/u.test(label);
}

function issuerFlaw({ kind, issuer }: UpstreamDraft): string | undefined {
  const { issuer: own, others, issuerHelp } = presets[kind];
  if (issuer === undefined || issuer === own) return own === undefined && issuer === undefined ? issuerHelp : undefined;
  const url = URL.canParse(issuer) ? new URL(issuer) : undefined;
  const plain = url !== undefined && url.username === '' && url.password === '' && issuer.length <= 500;
  return plain && others?.test(issuer) === true ? undefined : issuerHelp;
}

/** The platform's client goes to nobody but whom it was made for (SECURITY 7). */
function clientFlaw(draft: UpstreamDraft, platform: PlatformClients): string | undefined {
  const { kind, clientId, issuer } = draft;
  if (clientId !== undefined) return printable.test(clientId) ? undefined : 'use printable characters without spaces';
  if (platform[kind] === undefined) return `give the client that you registered at the provider: the platform has none for ${kind}`;
  return issuer === undefined || kind === 'microsoft' ? undefined : 'give a client of your own for an issuer of your own';
}

function credentialFlaw({ kind, credential }: UpstreamDraft): string | undefined {
  if (kind === 'apple') {
    const sound = credential.kind === 'apple_key' && [credential.team, credential.key].every((id) => /^[A-Z0-9]{10}$/.test(id));
    return sound && isAppleKey(credential.pem) ? undefined : 'give the team id, the key id and the key (.p8) that Apple gave you';
  }
  if (credential.kind === 'apple_key') return 'only Apple takes a key';
  if (credential.kind === 'none') return kind === 'oidc' ? undefined : 'give the secret that the provider gave you';
  return /^[\x20-\x7e]{1,4096}$/.test(credential.secret.reveal()) ? undefined : 'use printable characters';
}
