/**
 * Permissions, decisions (pure), confirmations of changes.
 *
 * Owns: the rules by which a call is allowed, the tables of permissions and confirmations.
 * Leans on: audit, store, api (the vocabulary of reach, path patterns).
 * Lives elsewhere: that secrets exist; which operation a call is (connect); who may answer a confirmation (http).
 */
export type {
  ChangeKind,
  Confirmation,
  Decision,
  DenyReason,
  Facts,
  Permission,
  PermissionDraft,
  PermissionQuery,
  Policy,
  Question,
} from './contract.ts';
export { createPolicy, type PolicyDeps } from './policy.ts';
