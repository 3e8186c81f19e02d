/**
 * Composition roots: read settings, build the parts, start them; the library entry.
 *
 * Owns: which parts there are, in which order they start and end.
 * Leans on: every room.
 * Lives elsewhere: everything the parts do.
 */
export { createGatehouse, type Gatehouse, type GatehouseOptions } from './library.ts';
