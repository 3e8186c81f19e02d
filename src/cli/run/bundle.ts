import { X509Certificate } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { getCACertificates, rootCertificates } from 'node:tls';
import type { Variables } from './environment.ts';

/** Variables by which a machine already names its authorities; what they hold stays trusted. */
const named = ['SSL_CERT_FILE', 'NODE_EXTRA_CA_CERTS', 'REQUESTS_CA_BUNDLE', 'CURL_CA_BUNDLE', 'GIT_SSL_CAINFO', 'AWS_CA_BUNDLE'];

const places = [
  '/etc/ssl/certs/ca-certificates.crt',
  '/etc/pki/tls/certs/ca-bundle.crt',
  '/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem',
  '/etc/ssl/ca-bundle.pem',
  '/etc/ssl/cert.pem',
];

/**
 * The certificates a program trusts under `run`: what the parent's variables name, else the system's file, else what
 * Node knows of the system or brings along; each once, as PEM blocks.
 */
export function systemAuthorities(env: Variables): readonly string[] {
  const fromVariables = named.flatMap((name) => certificatesIn(env[name]));
  const found = new Set(fromVariables.length > 0 ? fromVariables : firstOf(places));
  if (found.size === 0) for (const certificate of nodeAuthorities()) found.add(certificate.trim());
  return [...found];
}

function firstOf(paths: readonly string[]): readonly string[] {
  for (const path of paths) {
    const certificates = certificatesIn(path);
    if (certificates.length > 0) return certificates;
  }
  return [];
}

function nodeAuthorities(): readonly string[] {
  const system = getCACertificates('system');
  return system.length > 0 ? system : rootCertificates;
}

function certificatesIn(path: string | undefined): readonly string[] {
  if (path === undefined || path === '') return [];
  try {
    return pemBlocks(readFileSync(path, 'utf8'));
  } catch {
    return [];
  }
}

export function pemBlocks(text: string): readonly string[] {
  return text.match(/-----BEGIN CERTIFICATE-----[A-Za-z0-9+/=\s]+-----END CERTIFICATE-----/g) ?? [];
}

/** One file for variables that replace a runtime's authorities: system roots first, then the run's authority. */
export function bundlePem(authorities: readonly string[], runAuthority: string): string {
  return `${[...authorities, ...pemBlocks(runAuthority)].join('\n')}\n`;
}

/** The bytes of each certificate; one that cannot be read is left out. */
export function derOf(blocks: readonly string[]): readonly Buffer[] {
  return blocks.flatMap((block) => {
    try {
      return [new X509Certificate(block).raw];
    } catch {
      return [];
    }
  });
}
