import { Fault } from '#kernel';

const hint = 'give its authority with GATEHOUSE_DATABASE_CA, and name the host in GATEHOUSE_DATABASE_URL as its certificate does';

const sentences: readonly (readonly [RegExp, string])[] = [
  [/does not support SSL|does not support secure connection/i, 'the database server offers no TLS'],
  [/altname/i, 'the certificate of the database server is for another host'],
  [
    /certificate has expired|CERT_HAS_EXPIRED|not yet valid|CERT_NOT_YET_VALID/i,
    'the certificate of the database server is not valid today',
  ],
  [/certificate|self.signed|UNABLE_TO_|CERT_|issuer/i, 'nobody whom we believe signed the certificate of the database server'],
];

/** The fault, where TLS failed because the server is not known for who it should be. The message of the driver is not passed on. */
export function distrustIn(error: Error): Fault | undefined {
  const words = `${'code' in error ? String(error.code) : ''} ${error.message}`;
  const found = sentences.find(([sign]) => sign.test(words));
  return found === undefined ? undefined : new Fault('database_untrusted', { detail: found[1], hint });
}

/** The fault, where the server lets nobody in by this URL. */
export function refusedBy(cause: Error): Fault {
  const detail =
    'GATEHOUSE_DATABASE_URL: the database server refuses the user, the password, the name of the database, or a way without TLS or certificate';
  return new Fault('invalid_setting', { detail, cause });
}
