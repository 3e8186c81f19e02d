import { Fault } from '#kernel';
import type { IssuerDeps } from '../deps.ts';
import { type Challenged, type Prompt, type Prompted, prompts, type Scoped } from '../stages.ts';

/** How the person is to be asked (OpenID Connect Core §3.1.2.1). */
export function checkPrompt(_: IssuerDeps, asked: Scoped<Challenged>): Prompted {
  const named = (asked.parameters.one('prompt') ?? '').split(' ').filter((word) => word !== '');
  if (!named.every(isPrompt)) throw new Fault('invalid_request', { detail: `The values of prompt are: ${prompts.join(', ')}` });
  const prompt: ReadonlySet<Prompt> = new Set(named);
  if (prompt.has('none') && prompt.size > 1) throw new Fault('invalid_request', { detail: 'Nothing goes with prompt=none' });
  const age = asked.parameters.one('max_age');
  if (age !== undefined && !/^\d{1,9}$/.test(age)) throw new Fault('invalid_request', { detail: 'max_age is a number of seconds' });
  const nonce = asked.parameters.one('nonce');
  if (nonce !== undefined && nonce.length > 1_000) throw new Fault('invalid_request', { detail: 'The nonce is too long' });
  return { ...asked, prompt, maxAge: age === undefined ? undefined : Number(age) * 1000, nonce };
}

function isPrompt(word: string): word is Prompt {
  return (prompts as readonly string[]).includes(word);
}
