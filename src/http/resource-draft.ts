import type { z } from 'zod';
import type { schemas } from '#api';
import type { ResourceDraft } from '#issuer';

export type NewResource = z.output<typeof schemas.newResource>;

/** A resource as the contract spells it, as the issuer does. */
export function resourceDraft({ identifier, name, scopes, token_format, signing, open }: NewResource): ResourceDraft {
  return { identifier, name, scopes, tokenFormat: token_format, algorithm: signing, open };
}
