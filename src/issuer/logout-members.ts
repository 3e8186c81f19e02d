import type { ClientLogout, ClientMetadata } from './contract.ts';
import { redirectFlaw } from './redirects.ts';

type Judged = Pick<ClientMetadata, 'logout' | 'redirectUris'>;

/** What may be registered for signing out: each member with why it cannot be, or undefined. */
export const logoutRules = {
  post_logout_redirect_uris: ({ logout }: Judged) => redirectsFlaw(logout?.redirectUris ?? []),
  backchannel_logout_uri: ({ logout }: Judged) => callFlaw(logout?.backchannelUri),
  frontchannel_logout_uri: frameFlaw,
};

function redirectsFlaw(uris: readonly string[]): string | undefined {
  if (uris.length > 50) return 'there are more than 50';
  const flaw = uris.map(redirectFlaw).find((one) => one !== undefined);
  return flaw === undefined ? undefined : `a URI ${flaw}`;
}

/** An address that we send a logout token to: whether it may be reached is for the address guard to say, each time. */
function callFlaw(uri: string | undefined): string | undefined {
  if (uri === undefined) return undefined;
  if (redirectFlaw(uri) !== undefined || !/^https?:/.test(uri)) return 'write an https address without fragment';
  return undefined;
}

/** Front-Channel Logout §2: scheme, host and port are those of a redirect URI. */
function frameFlaw({ logout, redirectUris }: Judged): string | undefined {
  const uri = logout?.frontchannelUri;
  const flaw = callFlaw(uri);
  if (uri === undefined || flaw !== undefined) return flaw;
  const origins = redirectUris.filter((one) => URL.canParse(one)).map((one) => new URL(one).origin);
  return origins.includes(new URL(uri).origin) ? undefined : 'its scheme, host and port are those of no redirect URI';
}

/** In the words of OpenID Connect RP-Initiated, Back-Channel and Front-Channel Logout; what says nothing is left out. */
export function logoutAs(logout: ClientLogout | undefined): Readonly<Record<string, unknown>> {
  if (logout === undefined) return {};
  const { redirectUris, backchannelUri, frontchannelUri, backchannelSessionRequired, frontchannelSessionRequired } = logout;
  const backchannel = { backchannel_logout_uri: backchannelUri, backchannel_logout_session_required: backchannelSessionRequired === true };
  const frontchannel = {
    frontchannel_logout_uri: frontchannelUri,
    frontchannel_logout_session_required: frontchannelSessionRequired === true,
  };
  return {
    ...(redirectUris.length === 0 ? {} : { post_logout_redirect_uris: redirectUris }),
    ...(backchannelUri === undefined ? {} : backchannel),
    ...(frontchannelUri === undefined ? {} : frontchannel),
  };
}
