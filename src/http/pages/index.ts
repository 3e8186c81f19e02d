import { authorizePages } from './authorize.ts';
import { claimPages } from './claim.ts';
import { confirmPages } from './confirm.ts';
import { connectPages } from './connect.ts';
import { devicePages } from './device.ts';
import { donePages } from './done.ts';
import { homePages } from './home.ts';
import type { PageKit, PageRoute } from './page.ts';
import { requestPages } from './requests.ts';
import { setupPages } from './setup.ts';
import { signinPages } from './signin.ts';

/** Every page. Server-rendered, without script. */
export function allPages(kit: PageKit): readonly PageRoute[] {
  const home = [setupPages, homePages, connectPages, claimPages];
  return [...home.flatMap((pages) => pages(kit)), ...pagesElsewhere(kit)];
}

/** Those that an organization has at `/o/{slug}`: signing in, and what a person says yes to. */
export function pagesElsewhere(kit: PageKit): readonly PageRoute[] {
  return [signinPages, confirmPages, devicePages, requestPages, donePages, authorizePages].flatMap((pages) => pages(kit));
}
