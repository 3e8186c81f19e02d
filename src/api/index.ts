/**
 * The management contract: schemas and the table of routes, from which the server, OpenAPI and the typed client derive.
 *
 * Owns: what `/v1` takes and gives; the vocabulary of reach (risk classes, patterns).
 * Leans on: nothing but the kernel.
 * Lives elsewhere: what the routes do (the rooms), how they are served (`http`).
 */
export {
  type Answered,
  type BodyInput,
  type CallInput,
  type Client,
  type ClientAnswer,
  type ClientRequest,
  createClient,
  faultOf,
  type Parameters,
  type QueryInput,
  type Send,
} from './client.ts';
export { type LifeName, type Lives, lifeBounds, lifeNames, livesSchema, parseLives } from './lives.ts';
export { openApi } from './openapi.ts';
export { type CompiledPattern, compilePattern, couldMatchPattern, matchPattern } from './pattern.ts';
export { checkReach, parseReach, printReach } from './reach.ts';
export { type CallerKind, type Route, type RouteName, routes } from './routes.ts';
export * as schemas from './schemas.ts';
export {
  type ClientAuthenticationName,
  clientAuthenticationNames,
  type GrantTypeName,
  grantTypeNames,
  nameSchema,
  nameShape,
  type Pattern,
  patternSchema,
  type Reach,
  type RiskClass,
  reachSchema,
  riskClasses,
  type TokenFormatName,
  tokenFormatNames,
  type UpstreamKind,
  upstreamKinds,
} from './vocabulary.ts';
