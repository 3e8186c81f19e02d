import { Fault, isFault } from '#kernel';
import { aloneByFile } from '#store';

const patience = 5_000;

/**
 * Does work on the master keys alone among processes.
 * @throws {Fault} `conflict`, `master_key_missing` where there is no folder, `invalid_setting` where nothing can be written or locked
 */
export async function alone<T>(lock: string, work: () => Promise<T>): Promise<T> {
  let began = false;
  const working = () => {
    began = true;
    return work();
  };
  try {
    return await aloneByFile(lock, patience, working);
  } catch (error) {
    throw began ? error : refusal(error);
  }
}

function refusal(cause: unknown): Fault {
  if (isFault(cause, 'conflict')) return new Fault('conflict', { detail: 'Another process is changing the master keys', cause });
  if (codeOf(cause) === 'ENOENT') return new Fault('master_key_missing');
  return new Fault('invalid_setting', { detail: 'The master keys cannot be changed', cause });
}

/** The code of an error of the system. */
export function codeOf(error: unknown): unknown {
  return error instanceof Error && 'code' in error ? error.code : undefined;
}
