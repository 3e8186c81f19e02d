import { describe, expect, it } from 'vitest';
import { catalogueFolder, catalogueOf, loadCatalogue } from './catalogue.ts';
import { providerOf } from './definition.ts';
import { claimsOf, indexHosts } from './hosts.ts';
import { matchCall } from './match.ts';
import { providerSchema } from './provider.ts';

const catalogue = loadCatalogue(catalogueFolder());
const index = indexHosts(catalogue.values());

/** Names that resemble `host` and belong to somebody else. */
function lookAlikes(host: string): string[] {
  const bare = host.replace(/^\*\./, '');
  return [
    `evil${bare}`,
    `${bare}.evil.com`,
    `evil-${bare}`,
    `${bare}.`,
    `${bare.toUpperCase()}`,
    bare.replace('.', '-'),
    `.${bare}`,
    `${bare}:443`,
  ];
}

describe('the shipped catalogue', () => {
  it('has at least 90 providers, 40 of them with OAuth 2', () => {
    const named =
      'github gitlab bitbucket google gmail google-calendar google-drive microsoft outlook onedrive slack notion linear atlassian jira ' +
      'confluence hubspot discord reddit todoist x zoom cloudflare stripe sentry sendgrid resend mailchimp klaviyo intercom typeform airtable ' +
      'figma asana dropbox box salesforce shopify zendesk twilio anthropic openai openrouter groq mistral perplexity';
    for (const id of named.split(' ')) expect(catalogue.has(id), id).toBe(true);
    const all = [...catalogue.values()];
    expect(all.length).toBeGreaterThanOrEqual(90);
    expect(all.filter((provider) => provider.auth.some((auth) => auth.kind === 'oauth2')).length).toBeGreaterThanOrEqual(40);
  });

  it('gives no class but mint-credential to what makes keys, tokens, secrets and webhooks', () => {
    const telling = /\/(api[-_]?keys?|access[-_]?tokens?|tokens|secrets|webhooks?|hooks|credentials|invitations)(\/\*+)*$/i;
    for (const provider of catalogue.values())
      for (const operation of provider.operations.filter((one) => !one.classes.includes('mint-credential')))
        for (const { path } of operation.match) expect(telling.test(path), `${provider.id} ${operation.id} ${path}`).toBe(false);
  });

  it.each([...catalogue.values()])('$id claims its hosts and none of their look-alikes', (provider) => {
    for (const entry of provider.hosts) {
      const wide = entry.host.startsWith('*.');
      const own = wide ? `tenant${entry.host.slice(1)}` : entry.host;
      const owns = (host: string) =>
        claimsOf(index, host, entry.port).some((claim) => claim.provider === provider && claim.entry === entry);
      expect(owns(own), own).toBe(true);
      for (const host of lookAlikes(entry.host)) expect(owns(host), host).toBe(false);
      if (wide) expect(owns(entry.host.slice(2)), 'the suffix itself').toBe(false);
      else expect(owns(`sub.${entry.host}`), 'a name below an exact one').toBe(false);
      expect(claimsOf(index, own, entry.port + 1).some((claim) => claim.provider === provider)).toBe(false);
    }
  });

  it.each([...catalogue.values()])('$id finds every one of its operations where it says', (provider) => {
    for (const operation of provider.operations)
      for (const pattern of operation.match) {
        const entries = provider.hosts.filter((entry) =>
          operation.hosts === undefined ? entry.inject === undefined : operation.hosts.includes(entry.host),
        );
        const path = pattern.path.replaceAll('**', 'rest').replaceAll('*', 'x1');
        const method = pattern.methods[0] ?? 'GET';
        const hit = entries.some((entry) =>
          matchCall(index, { host: entry.host.replace('*.', 'tenant.'), port: entry.port, method, path }).some(
            (match) => match.provider === provider && match.operation !== undefined,
          ),
        );
        expect(hit, `${operation.id}: ${method} ${path}`).toBe(true);
      }
  });

  it('gives every provider a documentation link and a digest of its content', () => {
    for (const provider of catalogue.values()) {
      expect(provider.documentation).toMatch(/^https:/);
      expect(provider.digest).toMatch(/^[0-9a-f]{64}$/);
      expect(providerOf(providerSchema.parse(stripped(provider)), 'organization').digest).toBe(provider.digest);
    }
  });
});

function stripped(provider: object): unknown {
  const { source: _source, digest: _digest, ...definition } = provider as Record<string, unknown>;
  return definition;
}

describe('a catalogue', () => {
  it('refuses two providers on one host, port and path', () => {
    const github = catalogue.get('github');
    if (github === undefined) throw new Error('no github');
    const other = { ...github, id: 'other', hosts: [{ host: 'api.github.com', port: 443 }] };
    expect(() => catalogueOf([github, other])).toThrow(expect.objectContaining({ code: 'provider_invalid' }));
  });

  it('takes two providers on one host when a path separates them', () => {
    const github = catalogue.get('github');
    if (github === undefined) throw new Error('no github');
    const other = { ...github, id: 'other', hosts: [{ host: 'api.github.com', port: 443, path: '/mcp' }] };
    const both = indexHosts(catalogueOf([github, other]).values());
    const ids = (path: string) =>
      matchCall(both, { host: 'api.github.com', port: 443, method: 'GET', path }).map((match) => match.provider.id);
    expect(ids('/mcp')).toEqual(['other', 'github']);
    expect(ids('/mcp/tools')).toEqual(['other', 'github']);
    expect(ids('/mcpx')).toEqual(['github']);
    expect(ids('/mcp/../user')).toEqual(['github']);
  });
});
