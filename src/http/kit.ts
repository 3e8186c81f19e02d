import type { z } from 'zod';
import type { schemas } from '#api';
import type { Confirmation } from '#policy';
import type { Changes } from './confirmations.ts';
import type { Rooms } from './contract.ts';
import type { Lookups } from './lookups.ts';

/** What every handler and page works with. */
export interface Kit {
  readonly rooms: Rooms;
  readonly look: Lookups;
  readonly changes: Changes;
}

export function confirmationView(confirmation: Confirmation, publicUrl: string): z.input<typeof schemas.confirmationView> {
  return {
    id: confirmation.id,
    kind: confirmation.kind,
    status: confirmation.status,
    url: `${publicUrl}/confirm/${confirmation.id}`,
    expires_at: confirmation.expiresAt,
    ...(confirmation.result === undefined ? {} : { result: { ...confirmation.result } }),
  };
}

/** 202 and where a person says yes or no. */
export function parked(kit: Kit, confirmation: Confirmation) {
  return { status: 202 as const, body: confirmationView(confirmation, kit.rooms.publicUrl) };
}

/** A query whose undefined members are absent, as the rooms take it. */
export function present<T extends object>(query: T): { [K in keyof T]: Exclude<T[K], undefined> } {
  return Object.fromEntries(Object.entries(query).filter(([, value]) => value !== undefined)) as {
    [K in keyof T]: Exclude<T[K], undefined>;
  };
}
