/** What every answer carries. Nothing of ours is cached, framed, sniffed, or told to other sites. */
export const everyAnswer: Readonly<Record<string, string>> = {
  'cache-control': 'no-store',
  'x-content-type-options': 'nosniff',
  'x-frame-options': 'DENY',
  // Not `no-referrer`: browsers would then send `Origin: null` with our own forms.
  'referrer-policy': 'same-origin',
  'cross-origin-opener-policy': 'same-origin',
  'cross-origin-resource-policy': 'same-origin',
  'permissions-policy': 'camera=(), geolocation=(), microphone=(), payment=(), usb=()',
  'content-security-policy': "default-src 'none'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'",
};

/** Pages: our stylesheet and icon, our forms, no script at all (but for the form that posts itself: `src/http/pages/submit.ts`). */
export const pagePolicy =
  "default-src 'none'; style-src 'self'; img-src 'self'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'";

/**
 * A page whose form, by way of our redirects, ends at this source (browsers hold `form-action` against redirects too), and which loads
 * these addresses in frames.
 */
export function pagePolicyTo(source: string | undefined, frames: readonly string[] = []): string {
  const forms = source === undefined ? pagePolicy : pagePolicy.replace("form-action 'self'", `form-action 'self' ${source}`);
  if (frames.length === 0) return forms;
  return `${forms}; frame-src ${[...new Set(frames.map((address) => new URL(address).origin))].join(' ')}`;
}

export const strictTransport = 'max-age=31536000';
