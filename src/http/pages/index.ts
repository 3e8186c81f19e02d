import { authorizePages } from './authorize.ts';
import { claimPages } from './claim.ts';
import { confirmPages } from './confirm.ts';
import { connectPages } from './connect.ts';
import { devicePages } from './device.ts';
import { donePages } from './done.ts';
import { homePages } from './home.ts';
import type { PageKit, PageRoute } from './page.ts';
import { setupPages } from './setup.ts';
import { signinPages } from './signin.ts';

/** Every page. Server-rendered, without script. */
export function allPages(kit: PageKit): readonly PageRoute[] {
  return [setupPages, signinPages, homePages, connectPages, claimPages, confirmPages, devicePages, donePages, authorizePages].flatMap(
    (pages) => pages(kit),
  );
}
