import type { Session } from '#signin';

/** How strongly a person proved who they are, weakest first; each holds where a stronger one does (OpenID Connect Core §2: acr). */
const contexts = [
  { acr: 'urn:gatehouse:acr:session', needs: [] },
  { acr: 'urn:gatehouse:acr:password', needs: ['pwd'] },
] as const satisfies readonly { readonly acr: string; readonly needs: readonly string[] }[];

/** What can be asked for by `acr_values`. */
export const contextNames: readonly string[] = contexts.map(({ acr }) => acr);

/** The strongest that these methods amount to (RFC 8176 has their names). */
export function contextOf(methods: Session['methods']): string {
  const held = contexts.filter(({ needs }) => needs.every((method) => methods.includes(method)));
  return held.at(-1)?.acr ?? contexts[0].acr;
}

/** What a request asks for: any of these, without which an answer is of no use where it is `essential`. */
export interface AskedContext {
  readonly values: readonly string[];
  readonly essential: boolean;
}

export function isMet({ values }: AskedContext, methods: Session['methods']): boolean {
  const reached = contextNames.indexOf(contextOf(methods));
  return values.some((value) => contextNames.includes(value) && contextNames.indexOf(value) <= reached);
}

/** Some way of signing in here amounts to it. */
export function isMeetable({ values }: AskedContext): boolean {
  return values.some((value) => contextNames.includes(value));
}
