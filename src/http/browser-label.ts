const browsers = [
  [/\bEdg(A|iOS)?\//, 'Edge'],
  [/\bOPR\//, 'Opera'],
  [/\b(Firefox|FxiOS)\//, 'Firefox'],
  [/(Chrome|CriOS)\//, 'Chrome'],
  [/\bSafari\//, 'Safari'],
] as const;

const systems = [
  [/\b(iPhone|iPad)\b/, 'iOS'],
  [/\bAndroid\b/, 'Android'],
  [/\bWindows\b/, 'Windows'],
  [/\bMac OS X\b/, 'macOS'],
  [/\bLinux\b/, 'Linux'],
] as const;

/** What a person recognises their browser by on the list of their sessions; nothing is decided by it. */
export function browserLabel(userAgent: string | undefined, address: string): string {
  const text = (userAgent ?? '').slice(0, 500);
  const browser = browsers.find(([shape]) => shape.test(text))?.[1] ?? 'A browser';
  const system = systems.find(([shape]) => shape.test(text))?.[1];
  return `${browser}${system === undefined ? '' : ` on ${system}`}, from ${address}`;
}
