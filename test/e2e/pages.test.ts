import { execFileSync } from 'node:child_process';
import { type Browser, chromium, type Page } from 'playwright-core';
import { afterAll, describe, expect } from 'vitest';
import type { Principal } from '#kernel';
import { createPkce } from '#oauth';
import { giveUpstream, type IdentityProvider, startIdentityProvider, upstreamDraft } from '../support/identity-provider.ts';
import { basic, formOf } from '../support/issuing.ts';
import { testWith } from '../support/need.ts';
import { completeTestSetup, enrolTestAgent, testKeys, testPassword } from '../support/people.ts';
import { register } from '../support/relying.ts';
import { openServing, type Serving } from '../support/serving.ts';

const browserTest = testWith('chromium');
let browser: Browser | undefined;
afterAll(() => browser?.close());

/** A window as wide as a phone, and what the browser complained about in it. */
async function open(scheme: 'light' | 'dark'): Promise<{ readonly page: Page; readonly complaints: string[] }> {
  const executablePath = execFileSync('sh', ['-c', 'command -v chromium'], { encoding: 'utf8' }).trim();
  browser ??= await chromium.launch({ executablePath, args: ['--no-sandbox'] });
  const page = await browser.newPage({ viewport: { width: 360, height: 740 }, colorScheme: scheme });
  const complaints: string[] = [];
  page.on('console', (message) => {
    if (/content security|refused|blocked|violat/i.test(message.text())) complaints.push(message.text());
  });
  page.on('pageerror', (error) => complaints.push(error.message));
  return { page, complaints };
}

interface Flaws {
  readonly unlabelled: string[];
  readonly faint: string[];
  readonly headings: number;
  readonly wider: boolean;
}

/** Runs in the page. Text, since the rest of the program is not checked against a browser's types. */
const lookForFlaws = `(() => {
  const channels = (color) => (/rgba?\\(([^)]+)\\)/.exec(color)?.[1] ?? '0,0,0,0').split(',').map(Number);
  const linear = (c) => (c / 255 <= 0.03928 ? c / 255 / 12.92 : ((c / 255 + 0.055) / 1.055) ** 2.4);
  const luminance = (color) => {
    const [r, g, b] = channels(color).map(linear);
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const ground = (element) => {
    if (element === null) return 'rgb(255,255,255)';
    const color = getComputedStyle(element).backgroundColor;
    return (channels(color)[3] ?? 1) > 0 ? color : ground(element.parentElement);
  };
  const contrast = (element) => {
    const [a, b] = [luminance(getComputedStyle(element).color), luminance(ground(element))];
    return (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
  };
  const texts = [...document.querySelectorAll('main *, header *')].filter((element) =>
    [...element.childNodes].some((node) => node.nodeType === 3 && node.textContent.trim() !== ''),
  );
  const fields = [...document.querySelectorAll('input:not([type=hidden]), select, textarea')];
  return {
    unlabelled: fields.filter((field) => field.labels.length === 0).map((field) => field.name),
    faint: texts.filter((element) => contrast(element) < 4.5).map((element) => element.tagName + ' ' + element.className + ' ' + contrast(element)),
    headings: document.querySelectorAll('h1').length,
    wider: document.documentElement.scrollWidth > document.documentElement.clientWidth,
  };
})()`;

/** What keeps people out: fields without a label, text too faint to read (WCAG 2.2 AA), no heading, sideways scrolling. */
function flawsOf(page: Page): Promise<Flaws> {
  return page.evaluate<Flaws>(lookForFlaws);
}

const flawless: Flaws = { unlabelled: [], faint: [], headings: 1, wider: false };

/** Presses Tab until the control is reached; a control that has the focus shows it. */
async function tabTo(page: Page, selector: string): Promise<void> {
  for (let presses = 0; presses < 80; presses++) {
    if (await page.evaluate<boolean>(`document.activeElement.matches(${JSON.stringify(selector)})`)) {
      expect(await page.evaluate<string>('getComputedStyle(document.activeElement).outlineStyle')).toBe('solid');
      return;
    }
    await page.keyboard.press('Tab');
  }
  throw new Error(`the keyboard does not reach ${selector}`);
}

/** Through the pages of an authorization request: asked, remembered, and signed in once more, always back at the client. */
async function letIn(serving: Serving, page: Page, by: Principal, judge: () => Promise<void>): Promise<void> {
  const draft = { ...publicClient, redirectUris: ['https://app.invalid/callback'] };
  const client = await serving.people.store.records.in(by.organization).write((tx) => serving.issuer.clients.add(tx, by, draft));
  const { challenge } = createPkce();
  const request = { response_type: 'code', client_id: client, code_challenge: challenge, code_challenge_method: 'S256' };
  const begin = (more: Readonly<Record<string, string>> = {}) =>
    page.goto(`http://localhost:${serving.port}/authorize?${new URLSearchParams({ ...request, ...more })}`);
  // Nobody answers there; that the browser goes is what counts.
  const goesBack = async (act: () => Promise<unknown>) => {
    await Promise.all([page.waitForRequest(/^https:\/\/app\.invalid\/callback\?code=/), act().catch(() => undefined)]);
    await expect.poll(() => page.url()).toMatch(/^chrome-error:/);
    await page.goto('about:blank');
  };
  await begin();
  await judge();
  await tabTo(page, '#password');
  await page.keyboard.type(testPassword.reveal());
  await tabTo(page, 'button[value=yes]');
  await goesBack(() => page.keyboard.press('Enter'));
  await goesBack(begin);
  await serving.people.pass(1);
  await begin({ prompt: 'login' });
  await judge();
  for (const typed of ['ada@example.com', testPassword.reveal()]) {
    await page.keyboard.type(typed);
    await page.keyboard.press('Tab');
  }
  await goesBack(() => page.keyboard.press('Enter'));
}

/** A device in a link, and a client elsewhere: what each asks for, and the person's yes. */
async function letInElsewhere(serving: Serving, page: Page, by: Principal, judge: () => Promise<void>): Promise<void> {
  const base = `http://localhost:${serving.port}`;
  const grantTypes = ['urn:ietf:params:oauth:grant-type:device_code', 'urn:openid:params:grant-type:ciba'] as const;
  const client = await register(serving, by, { name: publicClient.name, redirectUris: [], grantTypes });
  const at = await serving.issuer.at(undefined);
  const asked = (parameters: Readonly<Record<string, string>>) => ({ parameters: formOf(parameters), authorization: basic(client) });
  const sayYes = async (done: RegExp) => {
    await judge();
    await tabTo(page, '#password');
    await page.keyboard.type(testPassword.reveal());
    await tabTo(page, 'button[value=yes]');
    await page.keyboard.press('Enter');
    await page.waitForURL(done);
    await judge();
  };
  const { userCode } = await serving.issuer.devices.authorize(at, asked({ scope: 'openid email' }), '203.0.113.7');
  await page.goto(`${base}/device?user_code=${userCode}`);
  await judge();
  await page.keyboard.press('Enter');
  await page.getByText('203.0.113.7 (not your address)').waitFor();
  await sayYes(/what=device$/);

  const hinted = { scope: 'openid', login_hint: 'ada@example.com', binding_message: 'Order 17: tea, 9 €' };
  await serving.issuer.backchannel.authenticate(at, asked(hinted), '203.0.113.8');
  await page.goto(`${base}/requests`);
  await judge();
  await tabTo(page, 'main a');
  await page.keyboard.press('Enter');
  await page.getByText('203.0.113.8').waitFor();
  await sayYes(/what=request$/);
}

const publicClient = {
  name: 'An application whose name is longer than what any phone shows in one line',
  authentication: 'none',
  secretHash: undefined,
  grantTypes: ['authorization_code'],
  scopes: ['openid', 'email', 'a:scope:of:the:application:that:has:a:name:as:long:as:some:people:make:them'],
  resources: [],
  protects: [],
  jwks: [],
  signing: 'ES256',
  requirePushedAuthorizationRequests: false,
  requireSignedRequestObject: false,
  authorizationDetailsTypes: [],
  lives: {},
  dpopBound: false,
  certificateBound: false,
} as const;

/** From the set-up link to a confirmed permission, with the keyboard alone. */
async function walk(serving: Serving, page: Page): Promise<void> {
  const base = `http://localhost:${serving.port}`;
  const { signin, identity, organization } = serving.people;
  const judge = async () => expect({ at: page.url(), ...(await flawsOf(page)) }).toEqual({ at: page.url(), ...flawless });

  await page.goto(`${base}/`);
  await judge();
  const { token } = await signin.setupLink();
  await page.goto(`${base}/setup?token=${token.reveal()}`);
  await judge();
  for (const typed of [
    'ada@example.com',
    'Ada Lovelace <b>of the very long name that no phone is wide enough for</b>',
    testPassword.reveal(),
  ]) {
    await page.keyboard.type(typed);
    await page.keyboard.press('Tab');
  }
  await page.keyboard.press('Enter');
  await page.waitForURL(`${base}/`);
  await judge();

  const agent = await enrolTestAgent(serving.people, testKeys(), 'researcher');
  const offer = await identity.offerClaim(agent, 'laptop', '127.0.0.1');
  await page.goto(`${base}/claim`);
  await judge();
  await page.keyboard.type(offer.code.reveal().toLowerCase());
  await page.keyboard.press('Tab');
  await page.keyboard.type(testPassword.reveal());
  await page.keyboard.press('Enter');
  await page.getByText(agent.thumbprint).waitFor();
  await judge();
  await tabTo(page, 'main a.button');
  await page.keyboard.press('Enter');
  await page.getByText('Waiting for the terminal').waitFor();
  await judge();
  await identity.acceptClaim(agent);
  await page.getByText('You claimed researcher').waitFor();
  await judge();

  const user = await identity.owner(organization.id);
  if (user === undefined) throw new Error('there is no owner');
  const by = { organization: organization.id, subject: { kind: 'user', id: user.id }, actors: [] } as const;
  const flow = await serving.connect.begin(by, {
    provider: 'github',
    name: 'default',
    flow: 'api_key',
    force: false,
    allow: [{ agent: 'researcher', allow: 'read,GET /a/very/long/path/that/does/not/fit/on/any/phone/**' }],
  });
  await page.goto(`${base}/connect/${flow.id}`);
  await judge();
  await page.keyboard.type(`ghp_${'a'.repeat(36)}`);
  await page.keyboard.press('Enter');
  await page.waitForURL(/\/allow$/);
  await tabTo(page, 'summary');
  await page.keyboard.press('Space');
  await judge();
  await tabTo(page, `[name="mine_${agent.id}"]`);
  await page.keyboard.press('Space');
  await tabTo(page, '#password');
  await page.keyboard.type(testPassword.reveal());
  await page.keyboard.press('Enter');
  await page.waitForURL(/what=allowed/);
  await judge();

  await serving.people.pass(6 * 60_000);
  const reach = { classes: ['read', 'mint-credential'], operations: [], patterns: [], everything: false };
  const target = { kind: 'provider', id: 'github' };
  const asked = await serving.policy.ask(by, 'permission.give', {
    effect: 'allow',
    agent: agent.id,
    target,
    reach,
    pass_credential: false,
  });
  await page.goto(`${base}/confirm/${asked.id}`);
  await judge();
  await tabTo(page, '#password');
  await page.keyboard.type(testPassword.reveal());
  await page.keyboard.press('Enter');
  await page.waitForURL(/what=confirmed/);
  expect((await serving.policy.confirmation(organization.id, asked.id))?.status).toBe('confirmed');
  await letIn(serving, page, by, judge);
  await letInElsewhere(serving, page, by, judge);
  for (const path of [
    '/',
    '/account',
    '/account/sign-in',
    '/confirmations',
    '/device',
    '/requests',
    '/signout',
    '/nothing',
    '/setup?token=x',
  ]) {
    await page.goto(base + path);
    await judge();
  }
}

/** The site of an upstream: it signs in whoever comes, and answers by a redirect, or by a form from a page of its own (`form_post`). */
async function answering(page: Page, idp: IdentityProvider, base: string, way: 'redirect' | 'form'): Promise<void> {
  const callback = `${base}/signin/callback/corp`;
  const site = 'http://upstream.example/answer';
  const claims = { sub: way, email: `${way}@corp.example`, email_verified: true };
  let answer = new URLSearchParams();
  await page.route(`${idp.issuer}/authorize**`, (route) => {
    answer = idp.answer(route.request().url(), { claims });
    if (way === 'redirect') return route.fulfill({ status: 302, headers: { location: `${callback}?${answer}` } });
    return route.fulfill({ contentType: 'text/html', body: `<script>location.href = '${site}'</script>` });
  });
  await page.route(site, (route) => {
    const fields = [...answer].map(([name, value]) => `<input type="hidden" name="${name}" value="${value}">`).join('');
    const body = `<form method="post" action="${callback}">${fields}</form><script>document.forms[0].submit()</script>`;
    return route.fulfill({ contentType: 'text/html', body });
  });
}

describe('the pages, in a real browser', () => {
  for (const scheme of ['light', 'dark'] as const) {
    browserTest(
      `can be used with the keyboard alone, on a phone, without script, in ${scheme} colours`,
      async () => {
        const serving = await openServing({ http: { publicUrl: 'http://localhost:7300' } });
        const { page, complaints } = await open(scheme);
        await walk(serving, page);
        expect(complaints).toEqual([]);
        await page.close();
      },
      120_000,
    );
  }

  browserTest(
    'sign a person in through an upstream, whether its answer comes by a redirect or by a form',
    async () => {
      const idp = await startIdentityProvider();
      const serving = await openServing({ ports: [idp.port], http: { publicUrl: 'http://localhost:7300' } });
      await completeTestSetup(serving.people);
      const label = 'the single sign-on of a company with a long name';
      await giveUpstream(serving.people, upstreamDraft(idp.issuer, { label, domains: ['corp.example'], signUp: true }));
      const base = `http://localhost:${serving.port}`;
      for (const way of ['redirect', 'form'] as const) {
        const { page, complaints } = await open('dark');
        await answering(page, idp, base, way);
        await page.goto(`${base}/account/sign-in`);
        expect(await flawsOf(page)).toEqual(flawless);
        await page.click('.upstreams button');
        await page.getByText(`as ${way}@corp.example`).waitFor();
        expect(new URL(page.url()).pathname).toBe('/account/sign-in');
        expect(await flawsOf(page)).toEqual(flawless);
        expect(complaints).toEqual([]);
        await page.close();
      }
    },
    60_000,
  );

  browserTest(
    'give no session to a browser over plain http where the public URL is https: it would be sent to every port of the machine',
    async () => {
      const serving = await openServing();
      const { page } = await open('light');
      const { token } = await serving.people.signin.setupLink();
      await page.goto(`http://localhost:${serving.port}/setup?token=${token.reveal()}`);
      for (const [name, text] of Object.entries({ email: 'ada@example.com', name: 'Ada', password: testPassword.reveal() }))
        await page.fill(`[name=${name}]`, text);
      await page.click('main button');
      await page.getByText('plain http').waitFor();
      expect((await page.context().cookies()).map(({ name }) => name)).toEqual(['__Host-gatehouse_form']);
      await page.close();
    },
    60_000,
  );
});
