export interface SessionOptions {
  readonly readOnly?: boolean;
  /** Its statements may take, and wait, as long as they need. */
  readonly patient?: boolean;
  /** Its transactions are serializable: a table that one reads as a whole, even a small one, nobody else may change beside it. */
  readonly serializable?: boolean;
}

/** What every session is told at its start, or every transaction where a pooler mixes sessions. */
export function sessionSettings(
  schema: string,
  { readOnly = false, patient = false, serializable = false }: SessionOptions,
): Readonly<Record<string, string | number>> {
  return {
    search_path: schema,
    ...(readOnly ? { default_transaction_read_only: 'on' } : {}),
    ...(serializable ? { enable_seqscan: 'off' } : {}),
    statement_timeout: patient ? 0 : 20_000,
    lock_timeout: patient ? 120_000 : 5_000,
    idle_in_transaction_session_timeout: patient ? 600_000 : 10_000,
  };
}
