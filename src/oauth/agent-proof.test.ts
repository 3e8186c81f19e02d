import { createSecretKey, generateKeyPairSync, type KeyObject } from 'node:crypto';
import { jwtVerify, SignJWT } from 'jose';
import { describe, expect, test } from 'vitest';
import {
  agentProofRemembered,
  agentProofType,
  createAgentProof,
  encodeBase64url,
  encodeDidKey,
  judgeAgentProof,
  type ProofJudgement,
  provenTarget,
  readAgentProof,
  type VerificationKey,
  verificationKeyOf,
} from './index.ts';

const pairs: readonly (readonly [string, () => { publicKey: KeyObject; privateKey: KeyObject }])[] = [
  ['EdDSA', () => generateKeyPairSync('ed25519')],
  ['ES256', () => generateKeyPairSync('ec', { namedCurve: 'P-256' })],
];

const request = {
  audience: 'https://gatehouse.example',
  method: 'POST',
  url: 'https://gatehouse.example/v1/runs?limit=5',
  body: Buffer.from('{"level":"separated"}'),
  now: Date.UTC(2026, 0, 1),
};

function agentOf(pair: { publicKey: KeyObject; privateKey: KeyObject }) {
  const key = verificationKeyOf(pair.publicKey) as VerificationKey;
  return { did: encodeDidKey(key.jwk), key, privateKey: pair.privateKey };
}

type Agent = ReturnType<typeof agentOf>;

function judge(proof: string, agent: Agent, changed: Partial<typeof request> = {}): ProofJudgement | undefined {
  const read = readAgentProof(proof);
  return read === undefined ? undefined : judgeAgentProof(read, agent, { ...request, ...changed });
}

function reasonOf(judgement: ProofJudgement | undefined): string {
  if (judgement === undefined) return 'unreadable';
  return judgement.kind === 'bad' ? judgement.reason : 'good';
}

describe.each(pairs)('an agent proof with %s', (alg, generate) => {
  const agent = agentOf(generate());
  const proof = createAgentProof({ ...request, ...agent });

  /** The proof's own claims, changed, signed by jose. */
  async function forge(claims: Record<string, unknown>, header: Record<string, unknown> = {}, key = agent.privateKey): Promise<string> {
    const own = JSON.parse(Buffer.from(proof.split('.')[1] as string, 'base64url').toString()) as Record<string, unknown>;
    const jwt = new SignJWT({ ...own, ...claims }).setProtectedHeader({ alg, typ: agentProofType, ...header });
    return `PoP ${await jwt.sign(key)}`;
  }

  test('holds for the request it was made for', () => {
    for (let i = 0; i < 40; i++) expect(reasonOf(judge(createAgentProof({ ...request, ...agent }), agent))).toBe('good');
  });

  test('is a JWT that jose verifies', async () => {
    const { payload } = await jwtVerify(proof.slice(4), agent.key.key, {
      typ: agentProofType,
      audience: request.audience,
      issuer: agent.did,
      currentDate: new Date(request.now),
    });
    expect(payload.htu).toBe(request.url);
  });

  test('made by jose holds too', async () => {
    for (let i = 0; i < 20; i++) expect(reasonOf(judge(await forge({}), agent))).toBe('good');
  });

  test('is bound to method, target, body and audience', () => {
    expect(reasonOf(judge(proof, agent, { method: 'GET' }))).toBe('method');
    expect(reasonOf(judge(proof, agent, { url: 'https://gatehouse.example/v1/runs?limit=6' }))).toBe('target');
    expect(reasonOf(judge(proof, agent, { url: 'https://other.example/v1/runs?limit=5' }))).toBe('target');
    expect(reasonOf(judge(proof, agent, { url: 'http://gatehouse.example/v1/runs?limit=5' }))).toBe('target');
    expect(reasonOf(judge(proof, agent, { body: Buffer.from('{}') }))).toBe('body');
    expect(reasonOf(judge(proof, agent, { audience: 'https://other.example' }))).toBe('audience');
  });

  test('holds for 60 seconds, with 5 seconds of skew either way', () => {
    const at = (seconds: number) => reasonOf(judge(proof, agent, { now: request.now + seconds * 1000 }));
    expect([-5, 0, 64].map(at)).toEqual(['good', 'good', 'good']);
    expect([-6, 65, 3600].map(at)).toEqual(['time', 'time', 'time']);
  });

  test('is remembered for longer than any clock could judge it good', () => {
    const good = Array.from({ length: 241 }, (_, index) => index - 120).filter(
      (seconds) => reasonOf(judge(proof, agent, { now: request.now + seconds * 1000 })) === 'good',
    );
    expect(agentProofRemembered).toBeGreaterThan(((good.at(-1) as number) - (good[0] as number) + 20) * 1000);
  });

  test('is refused with a life over 60 seconds, none, or times that are not whole numbers', async () => {
    const iat = request.now / 1000;
    expect(reasonOf(judge(await forge({ iat, exp: iat + 61 }), agent))).toBe('time');
    expect(reasonOf(judge(await forge({ iat, exp: iat }), agent))).toBe('time');
    expect(reasonOf(judge(await forge({ iat: iat + 0.5 }), agent))).toBe('claims');
    expect(reasonOf(judge(await forge({ iat: undefined }), agent))).toBe('claims');
  });

  test('is refused when a claim is missing or of another kind', async () => {
    for (const name of ['aud', 'jti', 'htm', 'htu', 'bsh']) {
      expect(reasonOf(judge(await forge({ [name]: undefined }), agent)), name).toBe('claims');
    }
    expect(reasonOf(judge(await forge({ aud: [request.audience, 'https://other.example'] }), agent))).toBe('claims');
    expect(reasonOf(judge(await forge({ jti: 'short' }), agent))).toBe('claims');
    expect(reasonOf(judge(await forge({ jti: 'x'.repeat(129) }), agent))).toBe('claims');
    expect(reasonOf(judge(await forge({ iss: 'did:key:zOther' }), agent))).toBe('issuer');
  });

  test('of another key is refused', async () => {
    expect(reasonOf(judge(await forge({}, {}, generate().privateKey), agent))).toBe('signature');
  });

  test('is refused with another type, an embedded key, a critical extension or compression', async () => {
    expect(reasonOf(judge(await forge({}, { typ: 'JWT' }), agent))).toBe('unreadable');
    const headers = [{ jwk: agent.key.jwk }, { jku: 'https://a.example' }, { x5c: ['AA'] }, { zip: 'DEF' }, { exp: 1 }];
    for (const header of headers) expect(reasonOf(judge(await forge({}, header), agent))).toBe('unreadable');
    const [, body, mark] = proof.slice(4).split('.');
    const critical = encodeBase64url(JSON.stringify({ alg, typ: agentProofType, crit: ['exp'] }));
    expect(reasonOf(judge(`PoP ${critical}.${body}.${mark}`, agent))).toBe('unreadable');
  });

  test('with no signature, or an HMAC keyed with the public key, is refused', async () => {
    const [, body] = proof.slice(4).split('.');
    for (const none of ['none', 'NONE', 'nOnE']) {
      const head = encodeBase64url(JSON.stringify({ alg: none, typ: agentProofType }));
      expect(reasonOf(judge(`PoP ${head}.${body}.`, agent))).toBe('unreadable');
    }
    const pem = createSecretKey(Buffer.from(agent.key.key.export({ format: 'pem', type: 'spki' })));
    const jwt = await new SignJWT(JSON.parse(Buffer.from(body as string, 'base64url').toString()))
      .setProtectedHeader({ alg: 'HS256', typ: agentProofType })
      .sign(pem);
    expect(reasonOf(judge(`PoP ${jwt}`, agent))).toBe('signature');
  });

  test('in another spelling is refused', () => {
    const [head, body, mark] = proof.slice(4).split('.') as [string, string, string];
    for (const text of [`${head}=.${body}.${mark}`, `${head}.${body}.${mark}.`, `${head}.${body}`, `${head} .${body}.${mark}`, '']) {
      expect(reasonOf(judge(`PoP ${text}`, agent)), text).toBe('unreadable');
    }
    expect(reasonOf(judge(`PoP ${head}.${body}.${mark.slice(0, -2)}`, agent))).toBe('signature');
    expect(reasonOf(judge(`PoP ${head}.${body}.`, agent))).toBe('signature');
    expect(reasonOf(judge(`Bearer ${head}.${body}.${mark}`, agent))).toBe('unreadable');
    expect(reasonOf(judge(`PoP ${head}.${'A'.repeat(9000)}.${mark}`, agent))).toBe('unreadable');
  });
});

test('a target has one form: origin, path and query', () => {
  expect(provenTarget('HTTPS://Gatehouse.Example:443/a?b#c')).toBe('https://gatehouse.example/a?b');
  expect(provenTarget('https://gatehouse.example')).toBe('https://gatehouse.example/');
  expect(provenTarget('http://127.0.0.1:7300/v1/x?')).toBe('http://127.0.0.1:7300/v1/x');
});

test('a target that could be read in two ways has none', () => {
  const bad = [
    '/v1',
    'ftp://a.example/',
    'https://u:p@a.example/',
    'https://a.example/a/../b',
    'https://a.example/%2e%2E/b',
    'https://a.example\\b',
  ];
  for (const url of [...bad, 'https://a.example/.', 'https://a.example/a b', 'https://a.example/.%2e', '']) {
    expect(provenTarget(url), url).toBeUndefined();
  }
});
