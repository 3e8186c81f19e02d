import { createCipheriv, createDecipheriv, hkdfSync, randomBytes } from 'node:crypto';
import { Secret } from '#kernel';
import { bearerValue } from '#oauth';
import { sha256, type Writing } from '#store';
import type { Grant, TokenAnswer } from './contract.ts';
import type { IssuerDeps } from './deps.ts';
import { lives } from './lives.ts';
import { insertRefreshToken } from './refresh-tokens.sql.ts';

/** A refresh token that is not stored yet. */
export interface MadeRefreshToken {
  readonly token: Secret<string>;
  insert(tx: Writing): Promise<void>;
}

const shape = /^[A-Za-z0-9_-]{43}$/;

export function refreshTokenOf(text: string | undefined): Secret<string> | undefined {
  return text !== undefined && shape.test(text) ? new Secret(text) : undefined;
}

export function firstRefreshToken(deps: IssuerDeps, grant: Grant): MadeRefreshToken {
  return make(deps, grant, undefined);
}

export function successorOf(deps: IssuerDeps, grant: Grant, predecessor: string): MadeRefreshToken {
  return make(deps, grant, predecessor);
}

function make({ clock }: IssuerDeps, grant: Grant, predecessor: string | undefined): MadeRefreshToken {
  const token = bearerValue();
  const createdAt = clock.now();
  const expiresAt = Math.min(createdAt + lives.refreshIdle, grant.expiresAt);
  const hash = sha256(token.reveal());
  const row = { organization: grant.organization, grant: grant.id, hash, predecessor, createdAt, expiresAt };
  return { token, insert: (tx) => insertRefreshToken(tx, row) };
}

interface StoredAnswer {
  readonly access: string;
  readonly expiresAt: number;
  readonly scopes: readonly string[];
  readonly resources: readonly string[];
  readonly id?: string | undefined;
  readonly refresh: string;
}

/** What a token was spent for. */
export interface SpentFor {
  readonly answer: TokenAnswer;
  readonly resources: readonly string[];
  readonly successor: Secret<string>;
}

const nonceSize = 12;
const tagSize = 16;

/** Only who has the token has the key (SECURITY 18). */
function keyOf(token: Secret<string>): Uint8Array {
  return new Uint8Array(hkdfSync('sha256', token.reveal(), '', 'gatehouse refresh answer', 32));
}

/** The answer a token was spent for, so that whoever presented it can have it again. */
export function sealAnswer(token: Secret<string>, { answer, resources, successor }: SpentFor): Uint8Array {
  const stored: StoredAnswer = {
    access: answer.accessToken.reveal(),
    expiresAt: answer.expiresAt,
    scopes: answer.scopes,
    resources,
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
    scopes: stored.scopes,
    ...(stored.id === undefined ? {} : { idToken: new Secret(stored.id) }),
    refreshToken: successor,
  };
  return { answer, resources: stored.resources, successor };
}
