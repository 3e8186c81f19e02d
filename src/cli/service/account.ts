import { spawnSync } from 'node:child_process';

export interface Account {
  readonly uid: number;
  readonly gid: number;
  readonly shell: string;
}

/** A user of this machine, as the system knows them (getent(1)). */
export function accountOf(name: string): Account | undefined {
  const { status, stdout } = spawnSync('getent', ['passwd', name], { encoding: 'utf8' });
  if (status !== 0) return undefined;
  const [, , uid, gid, , , shell = ''] = stdout.trim().split(':');
  return { uid: Number(uid), gid: Number(gid), shell };
}

/** Nobody can sign in as it. */
export const isClosed = ({ shell }: Account): boolean => /\/(nologin|false)$/.test(shell);
