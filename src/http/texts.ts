/** For agents that read before they act. */
export function llmsText(publicUrl: string): string {
  return `# Gatehouse

> This server lets AI agents call APIs without holding their secrets. A credential is put on the wire at the last moment, for one
> permitted call. You are never handed a key, and you never need one.

## If you are an agent

- Run programs that call APIs with: gatehouse run -- <command>
- Inside a run, call the API as usual. Variables such as GITHUB_TOKEN hold placeholders; send them where the API documents its key.
- Never ask a person for a key, a token or a password. Never print or store what looks like one.
- A refusal is application/problem+json with "source": "gatehouse". Its "hint" names the exact next command or page. Show it to your person.
- 403 policy_denied: no permission covers the call. The hint names the command your person can type.
- 403 connection_needed: no account is connected. Your person runs: gatehouse login <provider>
- 502 needs_attention: the account must be connected again by its owner.

## If you are a person

- Connect an account: gatehouse login <provider>
- Allow an agent: gatehouse policy allow <agent> <provider>[/<name>] <reach>
- See your agents: gatehouse agent list
- See what happened: gatehouse log

Server: ${publicUrl}
`;
}

export const robotsText = 'User-agent: *\nDisallow: /\n';
