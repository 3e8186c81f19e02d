import { Fault } from '#kernel';
import { sha256 } from '#store';
import type { AuthorizationDetail, DetailsField, DetailsType } from './contract.ts';

const mostDetails = 20;
const longestText = 1_000;
const mostTexts = 50;

type Registered = ReadonlyMap<string, DetailsType>;

/**
 * What a parameter asks for, each of a registered type and of its fields alone (RFC 9396 §5).
 * @throws {Fault} `authorization_details_invalid`
 */
export function readDetails(text: string | undefined, registered: Registered): readonly AuthorizationDetail[] {
  if (text === undefined) return [];
  const details = json(text);
  if (!Array.isArray(details) || details.length > mostDetails) throw invalid('authorization_details is an array of at most 20 objects');
  return details.map((detail: unknown) => readDetail(detail, registered));
}

function json(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    throw invalid('authorization_details is not JSON');
  }
}

function readDetail(detail: unknown, registered: Registered): AuthorizationDetail {
  if (typeof detail !== 'object' || detail === null || Array.isArray(detail)) throw invalid('An authorization detail is an object');
  const { type, ...fields } = detail as Readonly<Record<string, unknown>>;
  const definition = typeof type === 'string' ? registered.get(type) : undefined;
  if (definition === undefined || typeof type !== 'string') throw invalid('The type of an authorization detail is not registered');
  for (const [name, value] of Object.entries(fields)) {
    const field = Object.hasOwn(definition.fields, name) ? definition.fields[name] : undefined;
    if (field === undefined || !fits(field, value)) throw invalid('A field of an authorization detail is unknown, or not of its kind');
  }
  const missing = Object.entries(definition.fields).some(([name, { required }]) => required && !Object.hasOwn(fields, name));
  if (missing) throw invalid('A field of an authorization detail is missing');
  return { ...fields, type };
}

function fits({ kind, values }: DetailsField, value: unknown): boolean {
  const texts = kind === 'texts' ? value : [value];
  if (kind === 'number') return typeof value === 'number' && Number.isFinite(value);
  if (kind === 'boolean') return typeof value === 'boolean';
  if (!Array.isArray(texts) || texts.length > mostTexts) return false;
  return texts.every((one) => typeof one === 'string' && one.length <= longestText && (values === undefined || values.includes(one)));
}

function invalid(detail: string): Fault {
  return new Fault('authorization_details_invalid', { detail });
}

/** The details asked for at the token endpoint, each within one that was granted; all of them without the parameter (RFC 9396 §6). */
export function narrowedDetails(
  text: string | undefined,
  granted: readonly AuthorizationDetail[],
  registered: Registered,
): readonly AuthorizationDetail[] {
  if (text === undefined) return granted;
  const asked = readDetails(text, registered);
  if (asked.every((detail) => granted.some((whole) => isWithin(detail, whole)))) return asked;
  throw invalid('An authorization detail is more than was granted');
}

/** Every field as it was granted; of a list, some of it. What was granted with a field is not had without it. */
function isWithin(detail: AuthorizationDetail, whole: AuthorizationDetail): boolean {
  const names = new Set([...Object.keys(detail), ...Object.keys(whole)]);
  return [...names].every((name) => isPart(detail[name], whole[name]));
}

function isPart(part: unknown, whole: unknown): boolean {
  if (Array.isArray(part) && Array.isArray(whole)) return part.length > 0 && part.every((one) => whole.includes(one));
  return part === whole;
}

/** Those that concern these resources: with `locations`, only where one of them is meant (RFC 9396 §9). */
export function detailsFor(details: readonly AuthorizationDetail[], resources: readonly string[]): readonly AuthorizationDetail[] {
  return details.filter(({ locations }) => {
    if (!Array.isArray(locations) || resources.length === 0) return true;
    return locations.some((location) => resources.includes(String(location)));
  });
}

/** A detail as what it says, whatever the order of its fields. */
export function detailHash(detail: AuthorizationDetail): string {
  return sha256(JSON.stringify(Object.entries(detail).sort(([one], [other]) => (one < other ? -1 : 1))));
}

/** A detail in words for the consent page. */
export function detailWords(detail: AuthorizationDetail, registered: Registered) {
  const { type, ...fields } = detail;
  const definition = registered.get(type);
  const told = Object.entries(fields).map(([name, value]) => [definition?.fields[name]?.tells ?? name, [value].flat().join(', ')] as const);
  return { type, tells: definition?.tells ?? type, fields: told };
}
