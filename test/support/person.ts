import { type CommandOptions, type Ended, type Installation, owner } from './installation.ts';

type Act = (output: string) => Promise<void>;

/** Where a person sits: a terminal and a browser. */
export type Desk = Pick<Installation, 'command' | 'browser'>;

/** Runs a command and does in the browser what it asks for, each thing once, as the owner would. */
export async function withPerson(
  site: Desk,
  parameters: readonly string[],
  acts: readonly Act[],
  options: CommandOptions = {},
): Promise<Ended> {
  const left = [...acts];
  const failures: Error[] = [];
  const ended = await site.command(parameters, {
    ...options,
    watch(output, child) {
      options.watch?.(output, child);
      const next = left[0];
      if (next === undefined || !isAsked(next, output)) return;
      left.shift();
      void next(output).catch((error: Error) => {
        failures.push(error);
        child.kill('SIGTERM');
      });
    },
  });
  if (failures[0] !== undefined) throw failures[0];
  return ended;
}

const asked = new WeakMap<Act, RegExp>();

function act(sign: RegExp, does: (found: RegExpExecArray) => Promise<void>): Act {
  const self: Act = async (output) => {
    const found = sign.exec(output);
    if (found !== null) await does(found);
  };
  asked.set(self, sign);
  return self;
}

function isAsked(candidate: Act, output: string): boolean {
  return asked.get(candidate)?.test(output) ?? false;
}

/** Types the claim code that the terminal shows. */
export function typesClaimCode(site: Desk): Act {
  return act(/(http\S+\/claim)\b[\s\S]*?\n\n\s+(\S+)\n/, async ([, url, code]) => {
    const page = await site.browser.open(url as string);
    await site.browser.submit(page, '/claim', { code: code as string, password: owner.password });
  });
}

/** Types the code of a command line that signs in, and approves it. */
export function typesDeviceCode(site: Desk): Act {
  return act(/type the code (\S+) here:\s+(http\S+\/device)\b/, async ([, code, url]) => {
    const page = await site.browser.open(url as string);
    const shown = await site.browser.submit(page, '/device', { code: code as string });
    await site.browser.submit(shown, '/device/approve', { password: owner.password });
  });
}

/** Says yes, or no, on the page that names the change. */
export function answers(site: Desk, answer: 'yes' | 'no' = 'yes'): Act {
  return act(/http\S+\/confirm\/cnf_[0-9a-z]{26}/, async ([url]) => {
    const page = await site.browser.open(url);
    const after = await site.browser.submit(page, '/confirm', { answer, password: owner.password });
    if (after.status !== 200) throw new Error(`the confirmation was not taken: ${after.status} ${after.url}`);
  });
}

/** Completes a flow in the browser: types the key, or signs in at the provider, then answers what the connection may be used for. */
export function connects(site: Desk, given: { readonly fields?: Readonly<Record<string, string>>; readonly reach?: string } = {}): Act {
  return act(/http\S+\/connect\/flw_[0-9a-z]{26}/, async ([url]) => {
    const page = await site.browser.open(url);
    const typed = Object.fromEntries(Object.entries(given.fields ?? {}).map(([name, value]) => [`field_${name}`, value]));
    const made = await site.browser.submit(page, given.fields === undefined ? '/go' : '/key', typed);
    if (!made.url.endsWith('/allow'))
      throw new Error(
        `not connected: ${made.status} ${made.url} ${made.text
          .replace(/<[^>]+>/g, ' ')
          .replace(/\s+/g, ' ')
          .slice(0, 500)}`,
      );
    const agents = [...made.text.matchAll(/name="reach_(agt_[0-9a-z]{26})"/g)].map(([, id]) => id as string);
    const choices = given.reach === undefined ? {} : Object.fromEntries(agents.map((id) => [`reach_${id}`, given.reach as string]));
    if (made.text.includes('/allow"')) await site.browser.submit(made, '/allow', { ...choices, password: owner.password });
  });
}

/** Makes the default agent, claimed and confirmed. */
export async function makeAgent(site: Desk, handle?: string): Promise<Ended> {
  const named = handle === undefined ? [] : ['--agent', handle];
  return must(await withPerson(site, ['init', '--yes', '--email', owner.email, ...named], [typesClaimCode(site), answers(site)]));
}

/** The result, or an error that shows what the command said. */
export function must(ended: Ended): Ended {
  if (ended.code === 0) return ended;
  throw new Error(`exit code ${ended.code}\n${ended.stdout}\n${ended.stderr}`);
}
