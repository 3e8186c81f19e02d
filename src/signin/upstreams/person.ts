import { parseEmail } from '#identity';
import { Fault, isFault } from '#kernel';
import { sha256 } from '#store';
import { shown } from '../shown.ts';
import type { Upstream } from './contract.ts';
import { type Claims, domainOf, presets, textOf } from './presets.ts';

/** A person as an upstream names them, and how far it is believed. */
export interface UpstreamIdentity {
  readonly subjectHash: string;
  /** What the person knows the account by. */
  readonly label: string;
  readonly name: string | undefined;
  readonly email: string | undefined;
  /**
   * Whether the address is believed to be theirs: `domain` where the upstream vouches for it and the administrator named its
   * domain, `anybody` where they named all domains at once, which is not enough to be let in as somebody who is here already.
   */
  readonly believed: 'domain' | 'anybody' | 'no';
  readonly authenticatedAt: number | undefined;
}

/** @throws {Fault} `upstream_sign_in_failed` when it does not say who it is */
export function identityFrom(upstream: Upstream, claims: Claims, authenticatedAt: number | undefined): UpstreamIdentity {
  const preset = presets[upstream.kind];
  const subject = preset.subject(claims);
  if (subject === undefined) throw new Fault('upstream_sign_in_failed', { detail: `${upstream.label} did not say who you are` });
  const email = emailOf(claims.email);
  const name = shown(textOf(claims.name) ?? '', 200).trim() || undefined;
  return {
    subjectHash: sha256(subject),
    label: shown(email ?? name ?? subject, 254),
    name,
    email,
    believed: email === undefined || !preset.vouches(claims) ? 'no' : believedAbout(upstream, email),
    authenticatedAt,
  };
}

function believedAbout({ domains }: Upstream, email: string): UpstreamIdentity['believed'] {
  const domain = domainOf(email);
  if (domain !== undefined && domains.includes(domain)) return 'domain';
  return domains.includes('*') ? 'anybody' : 'no';
}

function emailOf(value: unknown): string | undefined {
  try {
    return typeof value === 'string' ? parseEmail(value) : undefined;
  } catch (error) {
    if (isFault(error)) return undefined;
    throw error;
  }
}
