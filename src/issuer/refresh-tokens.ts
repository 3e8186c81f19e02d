import { createCipheriv, createDecipheriv, hkdfSync, randomBytes } from 'node:crypto';
import { Secret } from '#kernel';
import { bearerValue } from '#oauth';
import { sha256, type Writing } from '#store';
import { keyShown } from './confirmation.ts';
import type { AuthorizationDetail, Client, Confirmation, Grant, TokenAnswer } from './contract.ts';
import type { IssuerDeps } from './deps.ts';
import { insertRefreshToken, type RefreshTokenRow } from './refresh-tokens.sql.ts';
import type { Bound } from './stages.ts';
import { tokenTypeOf } from './tokens.ts';

/** A refresh token that is not stored yet. */
export interface MadeRefreshToken {
  readonly token: Secret<string>;
  insert(tx: Writing): Promise<void>;
}

const shape = /^[A-Za-z0-9_-]{43}$/;

export function refreshTokenOf(text: string | undefined): Secret<string> | undefined {
  return text !== undefined && shape.test(text) ? new Secret(text) : undefined;
}

export function firstRefreshToken(deps: IssuerDeps, asked: Bound, grant: Grant): Promise<MadeRefreshToken> {
  return make(deps, asked.client, { grant, predecessor: undefined, confirmation: boundTo(asked) });
}

/** Once a family is bound to a key, it stays so. */
export function successorOf(
  deps: IssuerDeps,
  asked: Bound,
  { grant, predecessor }: { readonly grant: Grant; readonly predecessor: RefreshTokenRow },
): Promise<MadeRefreshToken> {
  const confirmation = keyOfRow(predecessor) ?? boundTo(asked);
  return make(deps, asked.client, { grant, predecessor: predecessor.token_hash, confirmation });
}

/** Of a client that cannot prove who it is, the key is the proof; one that can may change its key (RFC 9449 §5). */
function boundTo({ client, confirmation }: Bound): Confirmation | undefined {
  return isPublic(client) ? confirmation : undefined;
}

function isPublic({ authentication }: Client): boolean {
  return authentication === 'none';
}

function keyOfRow({ confirmation_json: text }: RefreshTokenRow): Confirmation | undefined {
  return text === null ? undefined : (JSON.parse(text) as Confirmation);
}

/** Whether the key that a token is bound to, if it is, was shown. */
export function showsKey(row: RefreshTokenRow, shown: Confirmation | undefined): boolean {
  return keyShown(keyOfRow(row), shown);
}

interface Making {
  readonly grant: Grant;
  readonly predecessor: string | undefined;
  readonly confirmation: Confirmation | undefined;
}

async function make(deps: IssuerDeps, client: Client, { grant, predecessor, confirmation }: Making): Promise<MadeRefreshToken> {
  const token = bearerValue();
  const createdAt = deps.clock.now();
  const expiresAt = Math.min(createdAt + (await deps.lifetimes.of(client, 'refresh_idle')), grant.expiresAt);
  const hash = sha256(token.reveal());
  const row = { organization: grant.organization, grant: grant.id, hash, predecessor, confirmation, createdAt, expiresAt };
  return { token, insert: (tx) => insertRefreshToken(tx, row) };
}

interface StoredAnswer {
  readonly access: string;
  readonly expiresAt: number;
  readonly scopes: readonly string[];
  readonly resources: readonly string[];
  readonly confirmation?: Confirmation | undefined;
  readonly details?: readonly AuthorizationDetail[] | undefined;
  readonly id?: string | undefined;
  readonly refresh: string;
}

/** What a token was spent for. */
export interface SpentFor {
  readonly answer: TokenAnswer;
  readonly resources: readonly string[];
  readonly confirmation: Confirmation | undefined;
  readonly successor: Secret<string>;
}

const nonceSize = 12;
const tagSize = 16;

/** Only who has the token has the key (SECURITY 18). */
function keyOf(token: Secret<string>): Uint8Array {
  return new Uint8Array(hkdfSync('sha256', token.reveal(), '', 'gatehouse refresh answer', 32));
}

/** The answer a token was spent for, so that whoever presented it can have it again. */
export function sealAnswer(token: Secret<string>, { answer, resources, confirmation, successor }: SpentFor): Uint8Array {
  const stored: StoredAnswer = {
    access: answer.accessToken.reveal(),
    expiresAt: answer.expiresAt,
    scopes: answer.scopes,
    resources,
    confirmation,
    details: answer.details,
    id: answer.idToken?.reveal(),
    refresh: successor.reveal(),
  };
  const nonce = randomBytes(nonceSize);
  const cipher = createCipheriv('aes-256-gcm', keyOf(token), nonce);
  return Buffer.concat([nonce, cipher.update(JSON.stringify(stored), 'utf8'), cipher.final(), cipher.getAuthTag()]);
}

export function openAnswer(token: Secret<string>, sealed: Uint8Array): SpentFor {
  const bytes = Buffer.from(sealed);
  const decipher = createDecipheriv('aes-256-gcm', keyOf(token), bytes.subarray(0, nonceSize));
  decipher.setAuthTag(bytes.subarray(bytes.length - tagSize));
  const text = Buffer.concat([decipher.update(bytes.subarray(nonceSize, bytes.length - tagSize)), decipher.final()]).toString('utf8');
  const stored = JSON.parse(text) as StoredAnswer;
  const successor = new Secret(stored.refresh);
  const answer = {
    accessToken: new Secret(stored.access),
    expiresAt: stored.expiresAt,
    tokenType: tokenTypeOf(stored.confirmation),
    scopes: stored.scopes,
    ...(stored.details === undefined ? {} : { details: stored.details }),
    ...(stored.id === undefined ? {} : { idToken: new Secret(stored.id) }),
    refreshToken: successor,
  };
  return { answer, resources: stored.resources, confirmation: stored.confirmation, successor };
}
