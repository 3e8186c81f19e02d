/**
 * permissions, decisions (pure), confirmations of changes.
 *
 * Owns: that.
 * Leans on: identity, audit, store, api.
 * Lives elsewhere: that secrets exist.
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
