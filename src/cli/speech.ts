import type { Fault } from '#kernel';
import type { Io } from './contract.ts';

type Cell = string | number | boolean | undefined;

/** How commands speak: one line per fact on standard output, everything about the work itself on standard error. */
export interface Speech {
  readonly json: boolean;
  /** People can be asked. */
  readonly terminal: boolean;
  /** A fact: the answer to the command. */
  fact(line: string): void;
  /** About the work: progress, warnings, what to do next. */
  note(line: string): void;
  value(value: unknown): void;
  table(heads: readonly string[], rows: readonly (readonly Cell[])[]): void;
  /** Says a failure and gives its exit code. */
  failed(fault: Fault): number;
  /** Shown while something takes over a second; only on a terminal. */
  progress(line: string): { done(): void };
}

const styles = { red: [31, 39], dim: [2, 22], bold: [1, 22] } as const;
export type Style = keyof typeof styles;

export function createSpeech(io: Io, json: boolean): Speech {
  const colour = io.stderr.isTTY === true && !io.env.NO_COLOR && io.env.TERM !== 'dumb';
  const styled = (style: Style, text: string) => (colour ? `\u001b[${styles[style][0]}m${text}\u001b[${styles[style][1]}m` : text);
  const note = (line: string) => void io.stderr.write(`${line}\n`);
  return Object.freeze({
    json,
    terminal: io.stdin.isTTY === true && io.stderr.isTTY === true && !json,
    fact: (line: string) => void io.stdout.write(`${line}\n`),
    note,
    value: (value: unknown) => void io.stdout.write(`${JSON.stringify(value, null, 2)}\n`),
    table: (heads: readonly string[], rows: readonly (readonly Cell[])[]) => void io.stdout.write(tableText(heads, rows)),
    failed(fault: Fault) {
      if (json) io.stdout.write(`${JSON.stringify(problemOf(fault), null, 2)}\n`);
      else for (const line of failureLines(fault, styled)) note(line);
      return fault.row.exit;
    },
    progress: (line: string) => startProgress(io, styled('dim', line)),
  });
}

/** What `--json` prints for a failure: the same words as the server's problem documents. */
function problemOf(fault: Fault) {
  const { fields, url, retryAfter, requestId } = fault.details;
  return {
    code: fault.code,
    title: fault.row.title,
    detail: fault.message,
    hint: fault.hint,
    exit: fault.row.exit,
    ...(fields === undefined ? {} : { errors: fields }),
    ...(url === undefined ? {} : { url }),
    ...(retryAfter === undefined ? {} : { retry_after: retryAfter }),
    ...(requestId === undefined ? {} : { request_id: requestId }),
  };
}

function failureLines(fault: Fault, styled: (style: Style, text: string) => string): string[] {
  const { fields, url, retryAfter, requestId } = fault.details;
  return [
    `${styled('red', 'error:')} ${lowered(fault.message)}`,
    ...Object.entries(fields ?? {}).map(([pointer, sentence]) => `  ${pointer}: ${sentence}`),
    ...(url === undefined ? [] : [`  open: ${url}`]),
    ...(retryAfter === undefined ? [] : [`  try again in ${retryAfter} s`]),
    ...(requestId === undefined || fault.row.status < 500 ? [] : [`  request: ${requestId}`]),
    `  ${fault.hint}`,
  ];
}

/** Sentences of the table start with a capital and the terminal speaks without. */
export function lowered(sentence: string): string {
  const plain = sentence.replace(/\.$/, '');
  return /^[A-Z][a-z]/.test(plain) ? plain.charAt(0).toLowerCase() + plain.slice(1) : plain;
}

function tableText(heads: readonly string[], rows: readonly (readonly Cell[])[]): string {
  const cells = [heads, ...rows.map((row) => row.map((cell) => (cell === undefined || cell === '' ? '-' : printable(String(cell)))))];
  const widths = heads.map((_, column) => Math.max(...cells.map((row) => (row[column] ?? '').length)));
  return cells
    .map(
      (row) =>
        `${row
          .map((cell, column) => cell.padEnd(widths[column] as number))
          .join('  ')
          .trimEnd()}\n`,
    )
    .join('');
}

/** `1 permission`, `2 permissions`. */
export function counted(count: number, noun: string): string {
  return `${count} ${noun}${count === 1 ? '' : 's'}`;
}

/** Names and addresses come from elsewhere: nothing in them may move the cursor. */
export function printable(text: string): string {
  return text.replace(/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/gu, '\ufffd');
}

const frames = ['|', '/', '-', '\\'];

function startProgress(io: Io, line: string): { done(): void } {
  if (io.stderr.isTTY !== true) return { done() {} };
  let frame = 0;
  let shown = false;
  const timer = setInterval(() => {
    shown = true;
    io.stderr.write(`\r\u001b[2K${frames[frame++ % frames.length]} ${line}`);
  }, 150);
  return {
    done() {
      clearInterval(timer);
      if (shown) io.stderr.write('\r\u001b[2K');
    },
  };
}
