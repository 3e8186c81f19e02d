import { isFault, type Secret } from '#kernel';
import type { Net } from '#net';
import { isRecord, memberAt, type Tokens } from './exchange.ts';
import type { OauthAuth } from './provider.ts';

export type Account = Readonly<Record<string, string>>;

interface AccountPaths {
  readonly id?: string | undefined;
  readonly name?: string | undefined;
  readonly email?: string | undefined;
}

/** Who the provider says we are: from the token answer where it says so, else from userinfo, else from the ID token. */
export async function accountOf(net: Net, auth: OauthAuth, tokens: Tokens): Promise<Account> {
  const answer = tokens.answer.reveal();
  const told = auth.account === undefined ? {} : pick(answer, auth.account);
  if (told.id !== undefined) return told;
  if (auth.userinfo !== undefined) return { ...told, ...(await askUserinfo(net, auth.userinfo, tokens.accessToken)) };
  return { ...told, ...fromIdToken(answer.id_token) };
}

/** An unreachable userinfo endpoint does not undo the connection: who it is stays unknown. */
async function askUserinfo(net: Net, userinfo: NonNullable<OauthAuth['userinfo']>, accessToken: Secret<string>): Promise<Account> {
  try {
    const answer = await net.fetch(userinfo.url, {
      method: userinfo.method,
      headers: {
        accept: 'application/json',
        ...(userinfo.body === undefined ? {} : { 'content-type': 'application/json' }),
        ...userinfo.headers,
        authorization: `Bearer ${accessToken.reveal()}`,
      },
      ...(userinfo.body === undefined ? {} : { body: userinfo.body }),
      timeout: 10_000,
      limit: 262_144,
      allowHttp: true,
    });
    if (answer.status !== 200) return {};
    return pick(JSON.parse(Buffer.from(answer.body).toString('utf8')), userinfo);
  } catch (error) {
    if (error instanceof SyntaxError || isFault(error)) return {};
    throw error;
  }
}

/** It came from the token endpoint over TLS, so its signature need not be checked (OpenID Connect Core §3.1.3.7). */
function fromIdToken(idToken: unknown): Account {
  if (typeof idToken !== 'string') return {};
  try {
    const claims: unknown = JSON.parse(Buffer.from(idToken.split('.')[1] ?? '', 'base64url').toString('utf8'));
    return pick(claims, { id: 'sub', name: 'name', email: 'email' });
  } catch {
    return {};
  }
}

function pick(value: unknown, paths: AccountPaths): Account {
  if (!isRecord(value)) return {};
  const found = (['id', 'name', 'email'] as const).map(
    (name) => [name, paths[name] === undefined ? undefined : textOf(memberAt(value, paths[name]))] as const,
  );
  return Object.fromEntries(found.filter((one): one is readonly ['id' | 'name' | 'email', string] => one[1] !== undefined));
}

function textOf(value: unknown): string | undefined {
  if (typeof value === 'number' || typeof value === 'bigint') return String(value);
  return typeof value === 'string' && value !== '' ? value.slice(0, 256) : undefined;
}

/** The account as one word for people and events: its name, address or id. */
export function accountLabel(account: Account): string {
  return account.name ?? account.email ?? account.id ?? '';
}
