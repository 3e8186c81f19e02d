import type { Writing } from '#store';
import { raiseAgents } from './agents.sql.ts';
import { raiseOrganizations } from './organizations.sql.ts';
import { raiseUsers } from './users.sql.ts';

/**
 * Raises the epoch of every organization, user and agent, in the caller's transaction on the platform: whatever names one
 * of them as its parent, and was made before, has ended for good (SECURITY 16, 20).
 */
export async function outdateEverything(tx: Writing): Promise<void> {
  await tx.bump('identity');
  await raiseOrganizations(tx);
  await raiseUsers(tx);
  await raiseAgents(tx);
}
