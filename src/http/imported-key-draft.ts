import type { z } from 'zod';
import type { schemas } from '#api';
import type { ImportedKeyDraft } from '#issuer';

/** A key as the contract spells it, as the issuer does. */
export function importedKeyDraft({ kid, public_jwk, retires_at }: z.output<typeof schemas.importedKey>): ImportedKeyDraft {
  return { kid, publicJwk: public_jwk, retiresAt: retires_at };
}
