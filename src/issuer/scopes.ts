import type { Resource } from './contract.ts';

/** Scopes whose meaning is ours (OpenID Connect Core §5.4, §11), in the words of the consent page. */
export const ownScopes: Readonly<Record<string, string>> = Object.freeze({
  openid: 'know who you are here',
  profile: 'see your name',
  email: 'see your e-mail address',
  offline_access: 'stay connected while you are away',
});

/**
 * Whether a person may leave it out of what they say yes to. A client has to make do with less than it asked for (RFC 6749 §3.3);
 * without `openid` it would not know who signed in, which is what they came for.
 */
export function isOptional(scope: string): boolean {
  return scope !== 'openid';
}

/** RFC 6749 §3.3. */
const shape = /^[\x21\x23-\x5b\x5d-\x7e]{1,128}$/;

export function isScope(text: string): boolean {
  return shape.test(text);
}

/** The scopes of a parameter, each once, in order; undefined when one is not well formed. */
export function readScopes(text: string | undefined): readonly string[] | undefined {
  const scopes = [...new Set((text ?? '').split(' ').filter((scope) => scope !== ''))];
  return scopes.length <= 100 && scopes.every(isScope) ? scopes : undefined;
}

/** A scope in words: ours, those of a resource that is asked for, else those of any that is registered. */
export function scopeWords(scope: string, registered: ReadonlyMap<string, Resource>, asked: readonly string[]): string {
  if (Object.hasOwn(ownScopes, scope)) return ownScopes[scope] as string;
  const near = asked.map((identifier) => registered.get(identifier)).filter((resource) => resource !== undefined);
  const found = [...near, ...registered.values()].flatMap(({ scopes }) => scopes).find(({ name }) => name === scope);
  return found?.tells ?? 'use what it calls by this name';
}
