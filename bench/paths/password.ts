import { verify } from '@node-rs/argon2';
import { Secret } from '#kernel';
import { compare, type Row } from '../row.ts';
import { openParts } from '../support/parts.ts';

const rounds = 3;
const times = 64;
/** People who sign in at once: more than hashes that run at once. */
const people = 8;
const person = { email: 'owner@example.test', name: 'Olive', password: new Secret('plum orbit 94 lantern') };

/** Sign-ins with a password a second, session and event made durable, against the hash alone. */
export async function measure(): Promise<readonly Row[]> {
  const parts = await openParts();
  const { signin, organization } = parts;
  const { token } = await signin.setupLink();
  await signin.completeSetup(token.reveal(), person, '127.0.0.1');
  const stored = await signin.hashPassword(person.password);
  const taken: { signedIn: number[]; hashed: number[] } = { signedIn: [], hashed: [] };
  for (let round = 0; round <= rounds; round++) {
    const signedIn = await aSecond(() => signin.signIn(organization.id, person.email, person.password, elsewhere(), undefined));
    const hashed = await aSecond(() => verify(stored, person.password.reveal()));
    if (round === 0) continue;
    taken.signedIn.push(signedIn);
    taken.hashed.push(hashed);
  }
  await parts.close();
  const [ours, other] = [taken.signedIn, taken.hashed];
  return [compare({ name: 'sign-in with a password', unit: 'a second', ours, against: 'argon2 alone', other, budget: '≥ 0.85' })];
}

let machines = 0;
/** One machine may not sign in so often. */
const elsewhere = () => `10.0.${machines >> 8}.${machines++ & 255}`;

async function aSecond(work: () => Promise<unknown>): Promise<number> {
  const began = performance.now();
  let left = times;
  const one = async (): Promise<void> => {
    while (left-- > 0) await work();
  };
  await Promise.all(Array.from({ length: people }, one));
  return (times / (performance.now() - began)) * 1000;
}
