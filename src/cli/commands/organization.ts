import { createHash } from 'node:crypto';
import type { Command } from 'commander';
import { Fault } from '#kernel';
import { bearerValue } from '#oauth';
import { awaitConfirmation, type WaitOptions, waitFlags } from '../asking.ts';
import { addCommand, addGroup, type CommandHost } from '../command.ts';
import type { Context } from '../context.ts';
import { type PagingOptions, pagingFlags, printPages, timeOf } from '../listing.ts';
import { first } from './agent.ts';
import { oneOf } from './client.ts';

interface AddFlags {
  readonly name?: string;
  readonly owner?: string;
}

interface InviteFlags extends WaitOptions {
  readonly role: string;
}

const roles = ['owner', 'administrator', 'member'] as const;

/** Organizations of the installation, and who is invited. */
export function organizationCommands(program: Command, host: CommandHost): void {
  const group = addGroup(program, 'organization', 'organizations of this installation, each an issuer of its own', [
    'organizations',
    'org',
  ]);
  addCommand<AddFlags>(group, host, {
    usage: 'add <slug>',
    tells: 'make an organization at /o/<slug>, on the machine of the server; prints the link for its first owner, once',
    example: 'gatehouse organization add acme --name "Acme Ltd" --owner eve@acme.example',
    options: [
      ['--name <name>', 'what people read; else the slug'],
      ['--owner <email>', 'who is invited as its first owner'],
    ],
    more: 'A slug is never used for another organization, so that what was issued for one never counts for another.',
    action: add,
  });
  addCommand<PagingOptions>(group, host, {
    usage: 'list',
    tells: 'organizations, newest first',
    example: 'gatehouse organization list --search acme',
    options: pagingFlags,
    action: list,
  });
  const invitations = addGroup(program, 'invitation', 'who may make an account, with a link that works once', ['invitations']);
  addCommand<InviteFlags>(invitations, host, {
    usage: 'add <email>',
    tells: 'invite somebody, confirmed in the browser; the link is printed once and works for seven days',
    example: 'gatehouse invitation add bob@example.com --role member',
    options: [['--role <role>', `what they may do: ${roles.join(', ')}`, 'member'], ...waitFlags],
    action: invite,
  });
  addCommand<PagingOptions>(invitations, host, {
    usage: 'list',
    tells: 'invitations that are open, newest first',
    example: 'gatehouse invitation list',
    options: pagingFlags,
    action: listInvitations,
  });
  addCommand<{ readonly preview?: boolean }>(invitations, host, {
    usage: 'remove <invitation>',
    tells: 'withdraw an invitation: its link works no more',
    example: 'gatehouse invitation remove inv_01k8... --preview',
    options: [['--preview', 'only tell what would be withdrawn']],
    action: withdraw,
  });
}

/** The link is made here; the server learns the hash of what is in it. */
function newLink() {
  const token = bearerValue();
  const hash = createHash('sha256').update(token.reveal()).digest('hex');
  return { hash, below: (issuer: string) => `${issuer}/join?token=${token.reveal()}` };
}

async function add(context: Context, given: readonly string[], flags: AddFlags): Promise<undefined> {
  const slug = first(given);
  if (flags.owner === undefined) throw new Fault('invalid_usage', { hint: 'name its first owner: --owner <email>' });
  const link = newLink();
  const body = { slug, name: flags.name ?? slug, owner: flags.owner, token_sha256: link.hash };
  const made = await context.server().person.call('organization_add', { body });
  const url = link.below(made.issuer);
  if (context.speech.json) context.speech.value({ ...made, invitation_url: url });
  else {
    context.speech.fact(`organization  ${made.id}`);
    context.speech.fact(`issuer        ${made.issuer}`);
    context.speech.fact(`owner's link  ${url}`);
    context.speech.note('give the link to its owner now: it is shown this once');
  }
  return undefined;
}

async function list(context: Context, _: readonly string[], flags: PagingOptions): Promise<undefined> {
  return printPages(context, flags, (query) => context.server().person.call('organization_list', { query }), {
    heads: ['slug', 'name', 'issuer', 'organization'],
    row: (one) => [one.slug, one.name, one.issuer, one.id],
    empty: 'there is no organization',
  });
}

async function invite(context: Context, given: readonly string[], flags: InviteFlags): Promise<undefined> {
  const server = context.server();
  const role = oneOf('--role', flags.role, roles);
  const link = newLink();
  const parked = await server.person.call('invitation_add', { body: { email: first(given), role, token_sha256: link.hash } });
  const { status } = await awaitConfirmation(context, server, parked, flags);
  const { organization } = await server.person.call('whoami');
  const url = link.below(organization.issuer);
  if (context.speech.json) context.speech.value({ status, invitation_url: url });
  else {
    if (status !== 'confirmed') context.speech.fact('not confirmed yet');
    context.speech.fact(`link  ${url}`);
    context.speech.note('give it to them now: it is shown this once');
  }
  return undefined;
}

async function listInvitations(context: Context, _: readonly string[], flags: PagingOptions): Promise<undefined> {
  return printPages(context, flags, (query) => context.server().person.call('invitation_list', { query }), {
    heads: ['invitation', 'e-mail', 'role', 'made', 'until'],
    row: (one) => [one.id, one.email, one.role, timeOf(one.created_at), timeOf(one.expires_at)],
    empty: 'nobody is invited',
  });
}

async function withdraw(context: Context, given: readonly string[], flags: { readonly preview?: boolean }): Promise<undefined> {
  const preview = flags.preview === true;
  const query = { preview: preview ? 'true' : 'false' } as const;
  const invitation = await context.server().person.call('invitation_end', { params: { invitation: first(given) }, query });
  if (context.speech.json) context.speech.value(invitation);
  else context.speech.fact(`the invitation of ${invitation.email} ${preview ? 'would be' : 'is'} withdrawn`);
  return undefined;
}
