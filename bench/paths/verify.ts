import { createLocalJWKSet, jwtVerify } from 'jose';
import { createVerifier } from '#verify';
import { compare, type Row } from '../row.ts';
import { type BenchIssuer, openIssuer } from '../support/issuer.ts';

const rounds = 7;
const fresh = 1_000;
const again = 200_000;

/** Tokens verified per second of CPU, in a resource server: seen before, and new. */
export async function measure(): Promise<readonly Row[]> {
  const issuer = await openIssuer();
  const tokens = await issuer.tokens(fresh);
  const taken = { new: [] as number[], seen: [] as number[], jose: [] as number[] };
  for (let round = 0; round <= rounds; round++) {
    const ours = await byOurs(issuer, tokens);
    const theirs = await byJose(issuer, tokens);
    if (round === 0) continue;
    taken.new.push(ours.new);
    taken.seen.push(ours.seen);
    taken.jose.push(theirs);
  }
  issuer.close();
  const against = { unit: 'tokens/s CPU', against: 'jose jwtVerify', other: taken.jose };
  return [
    compare({ name: 'verify a token that was seen', ours: taken.seen, budget: '≥ 20', ...against }),
    compare({ name: 'verify a new token', ours: taken.new, budget: '≥ 1.2', ...against }),
  ];
}

async function byOurs({ issuer, resource }: BenchIssuer, tokens: readonly string[]) {
  const verifier = createVerifier({ issuer, resource });
  await verifier.ready();
  const judge = async (token: string) => {
    const { good } = await verifier.verify({ method: 'GET', url: '/', headers: { authorization: `Bearer ${token}` } });
    if (!good) throw new Error('a good token was refused');
  };
  // The key set comes with the first token.
  await judge(tokens[0] as string);
  const first = await rate(tokens.length - 1, (at) => judge(tokens[at + 1] as string));
  // As they come with requests: each time another string.
  const came = Buffer.from(tokens[1] as string);
  const seen = await rate(again, () => judge(came.toString('latin1')));
  await verifier.close();
  return { new: first, seen };
}

function byJose({ issuer, resource, keys }: BenchIssuer, tokens: readonly string[]): Promise<number> {
  const keySet = createLocalJWKSet(keys);
  const options = { issuer, audience: resource, typ: 'at+jwt', algorithms: ['ES256'] };
  return rate(tokens.length, (at) => jwtVerify(tokens[at] as string, keySet, options));
}

/** Per second of CPU, of every thread. */
async function rate(count: number, work: (at: number) => Promise<unknown>): Promise<number> {
  const began = process.cpuUsage();
  for (let at = 0; at < count; at++) await work(at);
  const { user, system } = process.cpuUsage(began);
  return count / ((user + system) / 1_000_000);
}
