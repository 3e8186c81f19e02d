import { accountPages, startPages } from './account.ts';
import { authorizePages } from './authorize.ts';
import { claimPages } from './claim.ts';
import { confirmPages } from './confirm.ts';
import { connectPages } from './connect.ts';
import { devicePages } from './device.ts';
import { donePages } from './done.ts';
import { homePages } from './home.ts';
import { joinPages } from './join.ts';
import { logoutPages } from './logout.ts';
import { methodPages } from './methods.ts';
import type { PageKit, PageRoute } from './page.ts';
import { requestPages } from './requests.ts';
import { setupPages } from './setup.ts';
import { signinPages } from './signin.ts';
import { upstreamPages } from './upstream.ts';

const everywhere = [
  signinPages,
  upstreamPages,
  methodPages,
  logoutPages,
  joinPages,
  accountPages,
  confirmPages,
  devicePages,
  requestPages,
  donePages,
  authorizePages,
] as const;

/** Every page. Server-rendered, without script. */
export function allPages(kit: PageKit): readonly PageRoute[] {
  return [setupPages, homePages, connectPages, claimPages, ...everywhere].flatMap((pages) => pages(kit));
}

/** Those that an organization has at `/o/{slug}`: signing in, and what a person says yes to. */
export function pagesElsewhere(kit: PageKit): readonly PageRoute[] {
  return [startPages, ...everywhere].flatMap((pages) => pages(kit));
}
