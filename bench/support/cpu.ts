import { readdirSync, readFileSync } from 'node:fs';

/** Clock ticks a second on Linux (USER_HZ). */
const ticks = 100;

function fieldsOf(pid: number | string): string[] {
  const text = readFileSync(`/proc/${pid}/stat`, 'utf8');
  return text.slice(text.lastIndexOf(')') + 2).split(' ');
}

/** CPU seconds a process, its threads and its helpers used so far, user and system. */
export function cpuSeconds(pid: number): number {
  const [, , , , , , , , , , , user, system] = fieldsOf(pid);
  return (Number(user) + Number(system)) / ticks + childrenOf(pid).reduce((sum, child) => sum + cpuSeconds(child), 0);
}

/** CPU seconds that the threads of a process used so far, to the microsecond; those of threads that ended are forgotten. */
export function threadSeconds(pid: number): number {
  const tasks = `/proc/${pid}/task`;
  const nanoseconds = readdirSync(tasks).map((task) => Number(readFileSync(`${tasks}/${task}/schedstat`, 'utf8').split(' ')[0]));
  return nanoseconds.reduce((sum, one) => sum + one, 0) / 1e9;
}

function childrenOf(pid: number): readonly number[] {
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .filter((name) => {
      try {
        return Number(fieldsOf(name)[1]) === pid;
      } catch {
        return false;
      }
    })
    .map(Number);
}

/** Resident memory of a process, in MB. */
export function residentMegabytes(pid: number): number {
  const match = /VmRSS:\s+(\d+) kB/.exec(readFileSync(`/proc/${pid}/status`, 'utf8'));
  return Number(match?.[1] ?? 0) / 1024;
}
