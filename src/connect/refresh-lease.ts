/** Milliseconds one refresher holds its lease (SECURITY 13). */
export const leaseLife = 15_000;

/** Milliseconds within which the upstream must have answered: well before the lease ends. */
export const upstreamDeadline = 10_000;
