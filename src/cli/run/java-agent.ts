import { crc32 } from 'node:zlib';

/**
 * Java's own HTTP client asks an `Authenticator` for the proxy's password, and options cannot give it one. This is one,
 * as a Java agent. Compiled with `javac --release 8 -g:none` from:
 *
 * ```java
 * public final class GatehouseProxy extends java.net.Authenticator {
 *     public static void premain(String options) { setDefault(new GatehouseProxy()); }
 *
 *     protected PasswordAuthentication getPasswordAuthentication() {
 *         String port = System.getProperty("https.proxyPort");
 *         boolean ours = getRequestorType() == RequestorType.PROXY && port != null && port.equals(String.valueOf(getRequestingPort()));
 *         if (!ours) return null;
 *         return new PasswordAuthentication(System.getProperty("https.proxyUser"), System.getProperty("https.proxyPassword").toCharArray());
 *     }
 * }
 * ```
 */
const agentClass = [
  'yv66vgAAADQAQwoAAgADBwAEDAAFAAYBABZqYXZhL25ldC9BdXRoZW50aWNhdG9yAQAGPGluaXQ+AQADKClWBwAIAQAOR2F0ZWhvdXNlUHJveHkKAAcAAwoA',
  'AgALDAAMAA0BAApzZXREZWZhdWx0AQAbKExqYXZhL25ldC9BdXRoZW50aWNhdG9yOylWCAAPAQAPaHR0cHMucHJveHlQb3J0CgARABIHABMMABQAFQEAEGph',
  'dmEvbGFuZy9TeXN0ZW0BAAtnZXRQcm9wZXJ0eQEAJihMamF2YS9sYW5nL1N0cmluZzspTGphdmEvbGFuZy9TdHJpbmc7CgAHABcMABgAGQEAEGdldFJlcXVl',
  'c3RvclR5cGUBACgoKUxqYXZhL25ldC9BdXRoZW50aWNhdG9yJFJlcXVlc3RvclR5cGU7CQAbABwHAB0MAB4AHwEAJGphdmEvbmV0L0F1dGhlbnRpY2F0b3Ik',
  'UmVxdWVzdG9yVHlwZQEABVBST1hZAQAmTGphdmEvbmV0L0F1dGhlbnRpY2F0b3IkUmVxdWVzdG9yVHlwZTsKAAcAIQwAIgAjAQARZ2V0UmVxdWVzdGluZ1Bv',
  'cnQBAAMoKUkKACUAJgcAJwwAKAApAQAQamF2YS9sYW5nL1N0cmluZwEAB3ZhbHVlT2YBABUoSSlMamF2YS9sYW5nL1N0cmluZzsKACUAKwwALAAtAQAGZXF1',
  'YWxzAQAVKExqYXZhL2xhbmcvT2JqZWN0OylaBwAvAQAfamF2YS9uZXQvUGFzc3dvcmRBdXRoZW50aWNhdGlvbggAMQEAD2h0dHBzLnByb3h5VXNlcggAMwEA',
  'E2h0dHBzLnByb3h5UGFzc3dvcmQKACUANQwANgA3AQALdG9DaGFyQXJyYXkBAAQoKVtDCgAuADkMAAUAOgEAFyhMamF2YS9sYW5nL1N0cmluZztbQylWAQAE',
  'Q29kZQEAB3ByZW1haW4BABUoTGphdmEvbGFuZy9TdHJpbmc7KVYBABlnZXRQYXNzd29yZEF1dGhlbnRpY2F0aW9uAQAjKClMamF2YS9uZXQvUGFzc3dvcmRB',
  'dXRoZW50aWNhdGlvbjsBAA1TdGFja01hcFRhYmxlAQAMSW5uZXJDbGFzc2VzAQANUmVxdWVzdG9yVHlwZQAxAAcAAgAAAAAAAwABAAUABgABADsAAAARAAEA',
  'AQAAAAUqtwABsQAAAAAACQA8AD0AAQA7AAAAFwACAAEAAAALuwAHWbcACbgACrEAAAAAAAQAPgA/AAEAOwAAAGMABAADAAAAQxIOuAAQTCq2ABayABqmABkr',
  'xgAVKyq2ACC4ACS2ACqZAAcEpwAEAz0cmgAFAbC7AC5ZEjC4ABASMrgAELYANLcAOLAAAAABAEAAAAAOAAP8ACYHACVAAfwABgEAAQBBAAAACgABABsAAgBC',
  'QBk=',
].join('');

const manifest = 'Manifest-Version: 1.0\r\nPremain-Class: GatehouseProxy\r\n\r\n';

/** The agent's archive. */
export function javaAgent(): Buffer {
  return archive([
    { name: 'META-INF/MANIFEST.MF', bytes: Buffer.from(manifest) },
    { name: 'GatehouseProxy.class', bytes: Buffer.from(agentClass, 'base64') },
  ]);
}

interface Entry {
  readonly name: string;
  readonly bytes: Buffer;
}

const [localMagic, centralMagic, endMagic] = [0x04034b50, 0x02014b50, 0x06054b50];
/** 1 January 1980, the first day the format knows. */
const firstDay = 0x21;

/** A zip archive whose entries are stored as they are (APPNOTE 4.3). */
function archive(entries: readonly Entry[]): Buffer {
  const parts: Buffer[] = [];
  const directory: Buffer[] = [];
  let offset = 0;
  for (const entry of entries) {
    const local = Buffer.concat([words(localMagic), facts(entry), Buffer.from(entry.name), entry.bytes]);
    directory.push(
      Buffer.concat([words(centralMagic), halves(20), facts(entry), halves(0, 0, 0), words(0, offset), Buffer.from(entry.name)]),
    );
    parts.push(local);
    offset += local.length;
  }
  const central = Buffer.concat(directory);
  const end = Buffer.concat([words(endMagic), halves(0, 0, entries.length, entries.length), words(central.length, offset), halves(0)]);
  return Buffer.concat([...parts, central, end]);
}

/** What both headers of an entry say: version, flags, method, date, sum, sizes, length of the name. */
function facts({ name, bytes }: Entry): Buffer {
  const size = bytes.length;
  return Buffer.concat([halves(20, 0, 0, 0, firstDay), words(crc32(bytes), size, size), halves(Buffer.byteLength(name), 0)]);
}

function halves(...values: readonly number[]): Buffer {
  const bytes = Buffer.alloc(values.length * 2);
  for (const [index, value] of values.entries()) bytes.writeUInt16LE(value, index * 2);
  return bytes;
}

function words(...values: readonly number[]): Buffer {
  const bytes = Buffer.alloc(values.length * 4);
  for (const [index, value] of values.entries()) bytes.writeUInt32LE(value, index * 4);
  return bytes;
}
