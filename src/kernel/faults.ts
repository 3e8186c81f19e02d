/**
 * One row of the table: HTTP status, the OAuth error it becomes at an OAuth endpoint, the exit code of the command
 * line, the public sentence, and what to do next. Sentences never contain input.
 */
export interface FaultRow {
  readonly status: number;
  readonly oauth: string;
  readonly exit: number;
  readonly title: string;
  readonly hint: string;
}

function row(status: number, exit: number, title: string, hint: string, oauth = 'invalid_request'): FaultRow {
  return { status, oauth, exit, title, hint };
}

/**
 * The only list of failures. Exit codes: 0 ok, 1 generic, 2 sign-in failed or cancelled, 3 no such connection,
 * 4 no such provider, 5 credential missing, expired or not refreshable, 6 connection exists, 7 provider exists,
 * 8 endpoint unreachable, 9 server unavailable.
 */
export const faults = {
  internal: row(500, 1, 'Something went wrong on our side', 'try again; if it stays, give the request id to the operator', 'server_error'),
  unavailable: row(503, 9, 'The server cannot answer right now', 'try again in a few seconds', 'temporarily_unavailable'),
  stale_revocations: row(
    503,
    9,
    'This server cannot learn what has been revoked, so it refuses everything',
    'check that the database answers',
    'temporarily_unavailable',
  ),
  server_unreachable: row(503, 9, 'No Gatehouse server answers', 'start one with: gatehouse start'),
  address_in_use: row(500, 1, 'Another program listens on that port', 'stop it, or choose another port'),
  shutting_down: row(503, 9, 'The server is shutting down', 'try again in a few seconds', 'temporarily_unavailable'),
  busy: row(503, 9, 'The server is busy', 'try again in a few seconds', 'temporarily_unavailable'),
  invalid_request: row(400, 1, 'The request is not valid', 'see the listed fields'),
  not_found: row(404, 1, 'There is no such thing here', 'check the id or the name'),
  method_not_allowed: row(405, 1, 'That method is not offered here', 'see the Allow header'),
  conflict: row(409, 1, 'It was changed by somebody else meanwhile', 'read it again, then repeat the change'),
  payload_too_large: row(413, 1, 'The request is too large', 'send less'),
  unsupported_media_type: row(
    415,
    1,
    'The body is not of the kind this address takes',
    'send it as the documentation says, with its Content-Type',
  ),
  host_unknown: row(
    421,
    1,
    'This server does not answer to that host name',
    'use its public URL, or have the operator add the name to GATEHOUSE_HOSTS',
  ),
  origin_refused: row(403, 1, 'The request came from another site', 'open the page itself and try again'),
  form_ended: row(403, 1, 'This form is no longer good', 'reload the page and send it again'),
  rate_limited: row(429, 1, 'Too many tries', 'wait as long as Retry-After says', 'slow_down'),
  invalid_setting: row(500, 1, 'A setting is missing or wrong', 'run: gatehouse config check'),
  invalid_usage: row(400, 1, 'The command was not understood', 'add --help to see how it is used'),
  inside_run: row(403, 1, 'Not from inside a run', 'type this command in a terminal outside the run'),
  unsafe_folder: row(500, 1, 'A folder or socket of Gatehouse is not yours alone', 'give it back to yourself, mode 0700'),
  key_in_environment: row(
    500,
    1,
    'The environment holds a master key, which programs of the same user could read',
    'unset it here; give it to the server alone, with GATEHOUSE_MASTER_KEY_FILE',
  ),
  master_key_missing: row(500, 1, 'There is no master key', 'set GATEHOUSE_MASTER_KEY_FILE, or make a key with: gatehouse keys generate'),
  master_key_wrong: row(500, 1, 'The master key does not open this database', 'start with the key this database was made with'),
  master_key_malformed: row(
    500,
    1,
    'The master key is not 64 hexadecimal characters or 32 bytes in base64',
    'make a good one with: gatehouse keys generate',
  ),
  sealed_value_unreadable: row(
    500,
    5,
    'A sealed value does not open',
    'it was moved, damaged or sealed under another key; connect the account again',
  ),
  store_newer: row(500, 1, 'The database was made by a newer Gatehouse', 'start that version, or restore a backup'),
  store_outdated: row(500, 1, 'The schema of the database is older than this program', 'bring it up to date with: gatehouse migrate'),
  store_not_empty: row(409, 1, 'The target holds data already', 'name an empty database; nothing was changed'),
  store_incomplete: row(500, 1, 'A copy or a restore into this database has not ended', 'repeat that command: it goes on where it was cut'),
  copy_differs: row(500, 1, 'The copy is not equal to the original', 'repeat the command: it moves what differs'),
  backup_key_wrong: row(
    500,
    1,
    'The passphrase or the key does not open this archive',
    'use the one it was made with; nothing was changed',
  ),
  backup_damaged: row(500, 1, 'The archive is damaged, cut or none of ours', 'take another one; nothing was changed'),
  backup_format: row(
    500,
    1,
    'The archive has a format that this version does not read',
    'restore it with the version that wrote it; nothing was changed',
  ),
  folder_unusable: row(
    500,
    1,
    'The folder cannot be made or written',
    'name another folder, or mend what is in its way; nothing was changed',
  ),
  vault_moving: row(
    503,
    9,
    'The sealed values are being moved to another place',
    'once they are, start the server with the other GATEHOUSE_VAULT_BACKEND',
    'temporarily_unavailable',
  ),
  paused: row(
    503,
    9,
    'This installation is paused: it is a copy, was restored, or was paused by its operator',
    'once the original runs no more: gatehouse resume',
    'temporarily_unavailable',
  ),
  store_refused: row(
    500,
    1,
    'The role of GATEHOUSE_DATABASE_URL lacks a right on the database',
    'grant it what docs/databases.md lists, or migrate as the owner of the schema: gatehouse migrate',
  ),
  store_foreign: row(
    500,
    1,
    'The database holds tables that are not ours',
    'give Gatehouse a database or a schema of its own, or let it in beside them with: gatehouse migrate --into-existing',
  ),
  database_untrusted: row(
    503,
    9,
    'The database server is not known for who it should be',
    'check its certificate and GATEHOUSE_DATABASE_CA',
    'temporarily_unavailable',
  ),
  unauthenticated: row(401, 2, 'You are not signed in', 'sign in with: gatehouse login', 'invalid_client'),
  invalid_credentials: row(401, 2, 'The address or the password is wrong', 'try again', 'invalid_grant'),
  invalid_proof: row(401, 2, 'The agent proof is not valid', 'check the clock, then try again', 'invalid_client'),
  proof_replayed: row(401, 2, 'The agent proof was used before', 'make a new proof for every request', 'invalid_client'),
  proof_unremembered: row(
    503,
    9,
    'It cannot be known whether the agent proof was used before',
    'wait as long as Retry-After says, then make a new proof',
    'temporarily_unavailable',
  ),
  forbidden: row(403, 2, 'You may not do that', 'ask an administrator of the organization', 'access_denied'),
  confirmation_required: row(403, 2, 'This needs your confirmation in the browser', 'open the link and confirm', 'access_denied'),
  confirmation_ended: row(410, 2, 'This confirmation is no longer open', 'start the change again', 'access_denied'),
  cancelled: row(400, 2, 'It was cancelled', 'start again when you are ready', 'access_denied'),
  setup_required: row(503, 9, 'This installation is not set up yet', 'open the set-up link; print a new one with: gatehouse setup-link'),
  setup_closed: row(410, 2, 'This installation is already set up', 'sign in instead'),
  link_ended: row(410, 2, 'This link was used or has expired', 'start again to get a new one'),
  agent_unknown: row(404, 2, 'There is no such agent', 'list them with: gatehouse agent list'),
  agent_exists: row(409, 2, 'There is an agent of that name', 'choose another name'),
  registration_closed: row(
    403,
    2,
    'Agents are registered from the machine the server runs on, or by somebody who signed in',
    'sign in first, with gatehouse login URL, or make the agent on that machine',
    'access_denied',
  ),
  agent_not_active: row(403, 2, 'The agent is not active', 'claim, confirm or re-activate it: gatehouse agent list', 'access_denied'),
  agent_quota: row(429, 2, 'Too many unclaimed agents', 'claim or remove some first: gatehouse agent list'),
  claim_code_wrong: row(403, 2, 'The claim code is wrong or has expired', 'look at the terminal that shows it, or start again'),
  connection_unknown: row(404, 3, 'There is no such connection', 'list them with: gatehouse connections list'),
  connection_exists: row(409, 6, 'There is a connection of that name', 'choose another name with --connection, or replace it with --force'),
  connection_ambiguous: row(
    409,
    3,
    'Several connections fit',
    'name one with the header Gatehouse-Connection, or set a default: gatehouse connections set-default',
  ),
  connection_needed: row(403, 3, 'No account is connected for this service', 'connect one with: gatehouse login'),
  needs_attention: row(502, 5, 'The connection needs its owner', 'connect it again with: gatehouse login'),
  credential_unavailable: row(502, 5, 'The credential cannot be had right now', 'try again; if it stays, connect the account again'),
  refresh_failed: row(502, 5, 'The credential could not be refreshed', 'try again; if it stays, connect the account again'),
  provider_unknown: row(404, 4, 'There is no such provider', 'list them with: gatehouse provider list'),
  provider_exists: row(409, 7, 'There is a provider of that name', 'choose another id'),
  provider_invalid: row(400, 4, 'The provider definition is not valid', 'see the listed fields'),
  provider_unsupported: row(400, 4, 'This provider needs a way to authenticate that is not built yet', 'see: gatehouse provider inspect'),
  upstream_unknown: row(404, 1, 'There is no such upstream', 'list them with: gatehouse upstream list'),
  upstream_unusable: row(400, 1, 'An upstream cannot be used so', 'see the listed fields, or try: gatehouse upstream test'),
  account_unknown: row(
    403,
    2,
    'That account is not linked to anybody here',
    'sign in another way and link it there, or ask an administrator to let you in',
    'access_denied',
  ),
  upstream_sign_in_failed: row(502, 2, 'The provider did not complete the sign-in', 'start again'),
  upstream_unreachable: row(502, 8, 'The upstream cannot be reached', 'check the host name and the network'),
  upstream_timeout: row(504, 8, 'The upstream did not answer in time', 'try again'),
  upstream_invalid: row(502, 8, 'The upstream sent an answer that breaks the protocol', 'tell whoever runs the upstream'),
  upstream_certificate: row(502, 8, 'The upstream certificate is not valid', 'check its name, date and issuer'),
  upstream_certificate_expired: row(502, 8, 'The upstream certificate has expired or is not yet valid', 'check its dates'),
  upstream_certificate_name: row(502, 8, 'The upstream certificate is for another name', 'check the host name'),
  upstream_certificate_untrusted: row(
    502,
    8,
    'The upstream certificate is from an unknown authority',
    'the operator can add its authority',
  ),
  upstream_certificate_revoked: row(
    502,
    8,
    'The upstream certificate, or an authority that it rests on, is distrusted here',
    'the operator named it in GATEHOUSE_UPSTREAM_DISTRUST; ask whoever runs the upstream for another',
  ),
  address_refused: row(
    403,
    8,
    'The address is private, reserved or our own',
    'only the operator can open a private address, with GATEHOUSE_ALLOW_PRIVATE',
  ),
  proxy_unauthenticated: row(407, 2, 'The proxy credential is missing or wrong', 'start the program with: gatehouse run --'),
  run_ended: row(407, 2, 'This run has ended', 'start the program again with: gatehouse run --'),
  clear_text_refused: row(403, 1, 'Clear-text requests to a host with a connection are refused', 'use https'),
  host_refused: row(403, 1, 'This host has no connection and other hosts are closed', 'connect an account for it, or ask the operator'),
  own_host_refused: row(403, 1, 'Gatehouse itself cannot be reached through its proxy', 'call it directly'),
  host_mismatch: row(421, 1, 'The tunnel, the TLS name and the Host header do not agree', 'send requests for one host in one tunnel'),
  bad_framing: row(400, 1, 'The request is not strict HTTP/1.1', 'see the detail; the connection is closed'),
  method_refused: row(403, 1, 'That method is refused', 'use another method'),
  ambiguous_path: row(
    403,
    1,
    'The call could be read as another one, or carries others in its body (GraphQL, batch)',
    'send the plain form; only a permission for the whole host lets it pass',
  ),
  encoding_refused: row(502, 1, 'The upstream used a content encoding that cannot be scrubbed', 'ask for identity or gzip'),
  placeholder_misplaced: row(
    403,
    1,
    'A placeholder stands where the provider does not take a credential',
    'put it where the provider documents it',
  ),
  placeholder_foreign: row(403, 1, 'The placeholder is not from this run', 'read it from the environment of the run'),
  policy_denied: row(403, 1, 'No permission allows this call', 'see the command that would permit it', 'access_denied'),
  level_required: row(403, 1, 'The permission asks for a separated run', 'start it with: gatehouse run --isolate --'),
  permission_ended: row(403, 1, 'The permission has ended', 'give a new one with: gatehouse policy allow'),
  audit_unavailable: row(503, 9, 'The call could not be recorded, so it was not made', 'check that the database answers'),
  body_uninspectable: row(403, 1, 'The body cannot be inspected, so the call is refused', 'send it uncompressed and within the limit'),
  issuer_unknown: row(404, 1, 'No organization issues tokens at this address', 'check the issuer'),
  post_logout_redirect_unregistered: row(
    400,
    1,
    'The application asks to go on to an address that is not registered',
    'register it as a post_logout_redirect_uri, and send id_token_hint or client_id',
  ),
  client_unknown: row(400, 1, 'There is no such client', 'check client_id; list them with: gatehouse client list'),
  client_unauthenticated: row(
    401,
    2,
    'The client did not prove who it is',
    'authenticate as the client was registered, in one way',
    'invalid_client',
  ),
  redirect_invalid: row(
    400,
    1,
    'A redirect URI cannot be registered',
    'register https URIs, loopback addresses, or a scheme that is a domain name in reverse',
    'invalid_redirect_uri',
  ),
  client_registration_closed: row(
    403,
    1,
    'Clients do not register themselves here',
    'have an administrator register it: gatehouse client add',
    'access_denied',
  ),
  registration_token_invalid: row(
    401,
    2,
    'The token for this registration is missing, not good, or no more',
    'send it as a bearer token; an administrator makes one with: gatehouse registration-token add',
    'invalid_token',
  ),
  registration_quota: row(
    403,
    1,
    'As many clients have registered themselves as may',
    'remove some: gatehouse client list; or have an administrator register it: gatehouse client add',
    'access_denied',
  ),
  client_document_unusable: row(
    400,
    1,
    'The document that describes the client cannot be used',
    'whoever publishes it has to mend it',
    'invalid_client',
  ),
  client_invalid: row(400, 1, 'A client cannot be registered so', 'see the listed fields', 'invalid_client_metadata'),
  client_unauthorized: row(
    400,
    2,
    'The client may not use this grant type',
    'register it for the grant type it uses',
    'unauthorized_client',
  ),
  redirect_unregistered: row(400, 1, 'The redirect URI is not one of this client', 'register the exact URI'),
  grant_invalid: row(400, 2, 'The code or the token is not good, or no more', 'begin again with an authorization request', 'invalid_grant'),
  grant_type_unsupported: row(
    400,
    1,
    'That grant type is not offered',
    'see grant_types_supported in the metadata',
    'unsupported_grant_type',
  ),
  response_type_unsupported: row(400, 1, 'That response type is not offered', 'use response_type=code', 'unsupported_response_type'),
  scope_invalid: row(400, 1, 'A scope is unknown, or more than the client may have', 'ask for less', 'invalid_scope'),
  resource_unknown: row(404, 1, 'There is no such resource', 'list them with: gatehouse resource list'),
  resource_invalid: row(400, 1, 'A resource cannot be registered so', 'see the listed fields'),
  signing_key_invalid: row(400, 1, 'A key cannot be imported so', 'see the listed fields'),
  target_invalid: row(400, 1, 'A resource is not one the client may have a token for', 'see the resources of the client', 'invalid_target'),
  request_object_invalid: row(
    400,
    1,
    'The request object is not one that this client signed for this issuer',
    'sign it with a registered key: iss and client_id are the client, aud is the issuer, exp is within an hour',
    'invalid_request_object',
  ),
  request_uri_unsupported: row(
    400,
    1,
    'Requests by a reference of your own are not taken',
    'push the request to /par, or send the parameters themselves',
    'request_uri_not_supported',
  ),
  request_uri_invalid: row(
    400,
    1,
    'The pushed request was used, has expired, or is of another client',
    'go back to the application and start again; a request_uri is good once, for 60 seconds',
    'invalid_request_uri',
  ),
  login_needed: row(400, 2, 'The person is not signed in', 'ask again without prompt=none', 'login_required'),
  authorization_details_invalid: row(
    400,
    1,
    'The authorization details are not of a registered type, or more than may be had',
    'see authorization_details_types_supported in the metadata',
    'invalid_authorization_details',
  ),
  authentication_unmet: row(
    400,
    2,
    'The person has not signed in as strongly as the request needs',
    'ask for one of acr_values_supported in the metadata',
    'unmet_authentication_requirements',
  ),
  consent_needed: row(400, 2, 'The person has not agreed yet', 'ask again without prompt=none', 'consent_required'),
  consent_refused: row(400, 2, 'The person said no', 'ask for less, or say what it is for', 'access_denied'),
  authorization_pending: row(400, 2, 'The person has not answered yet', 'ask again after the interval', 'authorization_pending'),
  polled_early: row(400, 2, 'It was asked again too early', 'wait five seconds longer between two requests from now on', 'slow_down'),
  request_expired: row(400, 2, 'The person did not answer in time', 'begin again', 'expired_token'),
  hinted_user_unknown: row(400, 2, 'The hint names nobody here', 'send the e-mail address or the sub of a person', 'unknown_user_id'),
  binding_message_invalid: row(
    400,
    1,
    'The binding message cannot be shown',
    'write 1 to 100 letters, digits, signs and spaces',
    'invalid_binding_message',
  ),
  device_code_wrong: row(403, 2, 'The code is wrong or has expired', 'look at the device that shows it, or start again there'),
  access_token_invalid: row(401, 2, 'The access token is missing, not good, or no more', 'get a new one', 'invalid_token'),
  dpop_proof_invalid: row(
    400,
    2,
    'The DPoP proof is missing or not good',
    'make a new proof for this very request, and send it once in one DPoP header',
    'invalid_dpop_proof',
  ),
  dpop_nonce_needed: row(
    400,
    2,
    'The DPoP proof holds no nonce of this server, or one that is too old',
    'repeat the request with the nonce of the DPoP-Nonce header in the proof',
    'use_dpop_nonce',
  ),
  scope_insufficient: row(403, 2, 'The access token does not reach this far', 'ask for the scope that is named', 'insufficient_scope'),
  root_needed: row(403, 1, 'This needs the rights of root', 'repeat it with sudo'),
  service_unsupported: row(
    500,
    1,
    'A service of its own is for Linux with systemd only',
    'run the server as yourself with: gatehouse start',
  ),
  service_failed: row(500, 1, 'A step of the service did not work', 'see: journalctl -u gatehouse -u gatehouse.socket'),
  isolation_unavailable: row(500, 1, 'This system cannot isolate the program', 'see: gatehouse doctor'),
} as const satisfies Record<string, FaultRow>;

export type FaultCode = keyof typeof faults;

/** What one occurrence adds. `detail` is public and ours (no input); `hint` replaces the table's; `fields` are JSON pointers → sentence. */
export interface FaultDetails {
  readonly detail?: string;
  readonly hint?: string;
  readonly fields?: Readonly<Record<string, string>>;
  /** A page a person can open to solve it. */
  readonly url?: string;
  /** Seconds until a retry makes sense. */
  readonly retryAfter?: number;
  /** The request it happened in, where a client learned it from a server. */
  readonly requestId?: string;
  readonly cause?: unknown;
}

/** A failure, by code. The only error class that crosses a room's front door. */
export class Fault extends Error {
  readonly code: FaultCode;
  readonly details: FaultDetails;

  constructor(code: FaultCode, details: FaultDetails = {}) {
    super(details.detail ?? faults[code].title, details.cause === undefined ? undefined : { cause: details.cause });
    this.name = 'Fault';
    this.code = code;
    this.details = details;
  }

  get row(): FaultRow {
    return faults[this.code];
  }

  get hint(): string {
    return this.details.hint ?? this.row.hint;
  }
}

/** One fault for everything that is wrong with the settings: sentences by variable. */
export function settingFault(problems: Readonly<Record<string, string>>, cause?: unknown): Fault {
  const detail = Object.entries(problems)
    .map(([name, sentence]) => `${name}: ${sentence}`)
    .join('; ');
  return new Fault('invalid_setting', { detail, fields: problems, cause });
}

export function isFault(error: unknown, code?: FaultCode): error is Fault {
  return error instanceof Fault && (code === undefined || error.code === code);
}
