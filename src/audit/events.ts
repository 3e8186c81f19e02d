/** One row of the table: what it tells, and the fields it carries beside who, when and which. */
interface EventRow {
  readonly tells: string;
  readonly fields: readonly string[];
}

const none: readonly string[] = [];

/** The only list of event names. Documentation, filters and the command line derive from it. */
export const events = {
  'installation.resumed': {
    tells: 'a paused installation was resumed by its operator; every older session, run and token ended',
    fields: ['by', 'sessions', 'runs'],
  },
  'installation.paused': { tells: 'the operator paused the installation: it is not served until it is resumed', fields: none },
  'setup.completed': { tells: 'the first administrator was made', fields: ['user'] },
  'upstream.added': {
    tells: 'an upstream identity provider was added',
    fields: ['upstream', 'name', 'kind', 'issuer', 'domains', 'sign_up'],
  },
  'upstream.replaced': {
    tells: 'an upstream identity provider was changed',
    fields: ['upstream', 'name', 'kind', 'issuer', 'domains', 'sign_up'],
  },
  'upstream.removed': {
    tells: 'an upstream identity provider was removed, with every account linked through it and the sessions begun with them',
    fields: ['upstream', 'name', 'linked'],
  },
  'sign_in_method.added': { tells: 'a person has another way to sign in', fields: ['method', 'kind', 'upstream', 'account'] },
  'sign_in_method.removed': { tells: 'a way to sign in was ended', fields: ['method', 'kind'] },
  'session.started': { tells: 'a person signed in', fields: ['session', 'kind', 'method', 'address'] },
  'session.ended': { tells: 'a session ended', fields: ['session', 'reason'] },
  'sign_in.failed': { tells: 'a sign-in was refused', fields: ['method', 'upstream', 'reason', 'address'] },
  'logout.told': { tells: 'a client was told that a session ended', fields: ['client', 'session'] },
  'logout.not_told': { tells: 'a client could not be told that a session ended', fields: ['client', 'session', 'reason'] },
  'session.confirmed': { tells: 'a person proved their password again', fields: ['session', 'method'] },
  'organization.created': { tells: 'an organization was made', fields: ['slug', 'issuer'] },
  'organization.issuer_changed': {
    tells: 'the public URL changed; proofs made for the earlier one are refused',
    fields: ['issuer', 'previous'],
  },
  'invitation.made': { tells: 'somebody was invited', fields: ['invitation', 'role'] },
  'invitation.withdrawn': { tells: 'an invitation was withdrawn', fields: ['invitation'] },
  'user.created': { tells: 'a user was made', fields: ['user', 'role'] },
  'user.password_changed': { tells: 'a person changed their password; their other sessions ended', fields: ['user'] },
  'user.suspended': { tells: 'a user was suspended', fields: ['user'] },
  'agent.registered': { tells: 'an agent proved its key and was registered', fields: ['agent', 'handle', 'did', 'fingerprint', 'address'] },
  'agent.claimed': { tells: 'a person claimed an agent', fields: ['agent', 'user'] },
  'agent.confirmed': { tells: 'the owner confirmed the agent as one of theirs', fields: ['agent'] },
  'agent.suspended': { tells: 'an agent was suspended', fields: ['agent'] },
  'agent.reactivated': { tells: 'an agent was re-activated', fields: ['agent'] },
  'agent.revoked': { tells: 'an agent was revoked for good', fields: ['agent'] },
  'agent.expired': { tells: 'an unclaimed agent ended', fields: ['agent'] },
  'provider.registered': { tells: 'a provider definition was added or changed', fields: ['provider', 'digest'] },
  'provider.removed': { tells: 'a provider definition was removed', fields: ['provider'] },
  'provider.client_stored': { tells: 'an OAuth client at a provider was stored', fields: ['provider', 'client', 'source'] },
  'connection.started': { tells: 'a connection was begun', fields: ['provider', 'name', 'flow'] },
  'connection.made': { tells: 'an account was connected', fields: ['provider', 'name', 'account', 'scopes', 'hosts', 'rests'] },
  'connection.confirmed': { tells: 'the owner said yes to what was connected', fields: ['provider', 'name'] },
  'connection.brought_again': {
    tells: 'the answer of a provider was brought a second time, by somebody else; what it connected was ended',
    fields: ['provider', 'name'],
  },
  'connection.failed': { tells: 'a connection was not completed', fields: ['provider', 'name', 'reason'] },
  'connection.refreshed': { tells: 'a credential was refreshed', fields: ['provider', 'name', 'forced'] },
  'connection.refresh_failed': { tells: 'a credential was not refreshed', fields: ['provider', 'name', 'class'] },
  'connection.needs_attention': { tells: 'a connection needs its owner', fields: ['provider', 'name', 'reason'] },
  'connection.default_set': { tells: 'a connection became the default', fields: ['provider', 'name'] },
  'connection.shared': { tells: 'a connection was shared', fields: ['provider', 'name', 'shared'] },
  'connection.provider_accepted': { tells: 'the owner agreed to a changed provider', fields: ['provider', 'name', 'digest'] },
  'connection.disconnected': { tells: 'a connection was ended', fields: ['provider', 'name', 'revoked_upstream'] },
  'connection.revoked': { tells: 'a provider was asked to revoke an ended connection', fields: ['provider', 'name', 'revoked'] },
  'connection.revealed': { tells: 'a credential was handed to its owner', fields: ['provider', 'name', 'to'] },
  'permission.given': {
    tells: 'a permission was given',
    fields: ['effect', 'agent', 'provider', 'reach', 'level', 'pass_credential', 'expires_at'],
  },
  'permission.ended': { tells: 'a permission was ended', fields: ['effect', 'agent'] },
  'confirmation.asked': { tells: 'a change waits for a person', fields: ['confirmation', 'kind', 'digest'] },
  'confirmation.given': { tells: 'a person confirmed a change', fields: ['confirmation', 'kind', 'digest', 'session'] },
  'confirmation.refused': { tells: 'a person refused a change', fields: ['confirmation', 'kind'] },
  'run.started': { tells: 'a run began', fields: ['level', 'program', 'passed'] },
  'run.ended': { tells: 'a run ended', fields: ['reason'] },
  'tunnel.opened': { tells: 'a tunnel was opened without interception', fields: ['host', 'port'] },
  'tunnel.refused': { tells: 'a tunnel was refused', fields: ['host', 'port', 'code'] },
  'tunnel.closed': { tells: 'a tunnel without interception was closed', fields: ['host', 'port', 'sent', 'received', 'ms'] },
  'call.allowed': {
    tells: 'a call was permitted; durable before its first byte left',
    fields: ['exchange', 'level', 'method', 'host', 'port', 'path', 'operation', 'classes', 'provider', 'credential', 'slots'],
  },
  'call.denied': {
    tells: 'a call was refused',
    fields: ['exchange', 'level', 'method', 'host', 'port', 'path', 'operation', 'classes', 'provider', 'credential', 'code'],
  },
  'call.finished': {
    tells: 'an exchange ended',
    fields: ['exchange', 'status', 'outcome', 'code', 'sent', 'received', 'ms', 'steps', 'scrubbed'],
  },
  'client.added': { tells: 'an OAuth client was registered', fields: ['client', 'name', 'authentication'] },
  'client.registered': {
    tells: 'an OAuth client registered itself',
    fields: ['client', 'name', 'authentication', 'redirect_uris', 'address', 'token'],
  },
  'client.described': {
    tells: 'a person let in an OAuth client that a document describes, or one whose document changed',
    fields: ['client', 'name', 'authentication', 'redirect_uris'],
  },
  'client.changed': {
    tells: 'an OAuth client changed its own registration',
    fields: ['client', 'name', 'authentication', 'redirect_uris'],
  },
  'client.forgotten': { tells: 'an OAuth client that registered itself and was not used was forgotten', fields: ['client'] },
  'registration_token.added': {
    tells: 'a token was made with which clients register themselves',
    fields: ['token', 'name', 'uses', 'expires_at'],
  },
  'registration_token.ended': { tells: 'a token with which clients register themselves was ended', fields: ['token'] },
  'client.removed': { tells: 'an OAuth client was removed; its tokens ended', fields: ['client'] },
  'client.secret_added': { tells: 'an OAuth client got another secret', fields: ['client', 'secret', 'expires_at'] },
  'client.secret_ended': { tells: 'a secret of an OAuth client was ended', fields: ['client', 'secret'] },
  'consent.given': { tells: 'a person agreed to what a client asked for', fields: ['client', 'redirect_host', 'scopes', 'resources'] },
  'consent.refused': { tells: 'a person refused what a client asked for', fields: ['client', 'redirect_host'] },
  'device.approved': {
    tells: 'a person let a device in',
    fields: ['client', 'scopes', 'resources', 'address'],
  },
  'device.refused': { tells: 'a person refused a device', fields: ['client', 'address'] },
  'backchannel.approved': {
    tells: 'a person let in a client that asked from elsewhere',
    fields: ['client', 'scopes', 'resources', 'address'],
  },
  'backchannel.refused': {
    tells: 'a person refused a client that asked from elsewhere',
    fields: ['client', 'scopes', 'resources', 'address'],
  },
  'trust.added': {
    tells: 'assertions of another issuer are taken for tokens from now on',
    fields: ['trust', 'issuer', 'client', 'user', 'subjects'],
  },
  'trust.removed': { tells: 'assertions of another issuer are taken no more', fields: ['trust'] },
  'grant.made': { tells: 'a client was granted access for a person', fields: ['grant', 'client', 'scopes', 'resources'] },
  'grant.ended': { tells: 'a grant ended, with every token below it', fields: ['grant', 'client', 'reason'] },
  'details_type.added': { tells: 'a type of authorization details was registered', fields: ['type'] },
  'details_type.removed': { tells: 'a type of authorization details was removed', fields: ['type'] },
  'lives.changed': { tells: 'how long issued tokens live was changed', fields: ['lives'] },
  'resource.added': { tells: 'a resource that tokens are for was registered', fields: ['resource', 'identifier', 'name'] },
  'resource.changed': { tells: 'scopes, token format or name of a resource were changed', fields: ['resource', 'identifier', 'name'] },
  'resource.removed': { tells: 'a resource was removed', fields: ['resource'] },
  'signing_key.made': { tells: 'a key that signs tokens was made', fields: ['key', 'algorithm', 'signs_from'] },
  'signing_key.imported': {
    tells: 'a key that verifies tokens of an earlier system was published',
    fields: ['kid', 'algorithm', 'retires_at'],
  },
  'signing_key.withdrawn': { tells: 'an imported key was removed from the key set', fields: ['kid'] },
  'key.added': { tells: 'a master key was added', fields: ['key'] },
  'key.rotated': { tells: 'data keys were re-wrapped', fields: ['key', 'count', 'compromised'] },
  'audit.checkpoint': { tells: 'the chain was signed', fields: none },
} as const satisfies Record<string, EventRow>;

export type EventName = keyof typeof events;
