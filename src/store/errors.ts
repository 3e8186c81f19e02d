/**
 * A row with the same unique value is there. Insert and take this as the answer; never check, then insert.
 * Let it leave `fn` and catch it around `write`: on some databases the transaction is over once it was raised.
 */
export class UniqueViolation extends Error {
  /** The columns of the constraint, as `table.column`, where the database names them. Never values. */
  readonly columns: readonly string[];

  constructor(columns: readonly string[], cause: unknown) {
    super(`a unique value is taken: ${columns.join(', ')}`, { cause });
    this.name = 'UniqueViolation';
    this.columns = columns;
  }
}

/** True if `error` says that a unique value is taken; with `column` (as `table.column`), that this one was part of it. */
export function isUniqueViolation(error: unknown, column?: string): error is UniqueViolation {
  return error instanceof UniqueViolation && (column === undefined || error.columns.includes(column));
}

/** The store was used in a way its contract forbids: a bug of the caller, never of the data. */
export class StoreMisuse extends Error {
  constructor(message: string) {
    super(message);
    this.name = 'StoreMisuse';
  }
}
