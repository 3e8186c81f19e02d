/** What the inside of an enclosure does, in order. Everything is decided outside; paths are real paths. */
export interface EnclosurePlan {
  /** Covered by an empty file system of its own. */
  readonly hidden: readonly { readonly path: string; readonly mode: string; readonly owned: boolean }[];
  /** Brought back where it was, although something above it is hidden or read-only. */
  readonly shown: readonly { readonly path: string; readonly writable: boolean }[];
  /** Must not be there, whatever was brought back. */
  readonly secret: readonly { readonly path: string; readonly identity: string | undefined }[];
  readonly user: { readonly uid: number; readonly gid: number };
  /** We are the system's root and become `user`; else we are `user` already, root of our own namespace only. */
  readonly fromRoot: boolean;
  /** The terminal would take what a program pushes into its input as typed by the person. */
  readonly ownSession: boolean;
}

export interface StartMessage {
  readonly kind: 'start';
  readonly command: string;
  readonly parameters: readonly string[];
  readonly env: Readonly<Record<string, string>>;
  readonly cwd: string;
}

export type ToEnclosure =
  | { readonly kind: 'plan'; readonly plan: EnclosurePlan }
  | StartMessage
  | { readonly kind: 'signal'; readonly signal: NodeJS.Signals };

export type FromEnclosure =
  | { readonly kind: 'up' }
  | { readonly kind: 'holds' }
  | { readonly kind: 'failed'; readonly reason: string }
  | { readonly kind: 'exit'; readonly code: number };
