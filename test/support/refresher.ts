/**
 * A process of its own that asks for credentials: argv is the data folder, the master key, the port of the provider, the
 * connections (joined by commas) and how many ask for each at once. It says `ready`, waits for a line, asks, and prints
 * what each connection gave as one line of JSON.
 */
import { createAudit } from '#audit';
import { createConnect, loadCatalogue } from '#connect';
import { createIdentity } from '#identity';
import { isFault, parseId, Secret, silentLog, systemClock } from '#kernel';
import { createNet } from '#net';
import { openStore } from '#store';
import { createVault, keyringOf, parseMasterKey } from '#vault';

const [home = '', key = '', port = '', connectionIds = '', asks = '1'] = process.argv.slice(2);
const clock = systemClock;
const log = silentLog;
const store = await openStore({ home, ephemera: 'sql', clock, log });
const { records, ephemera, changes, sealed } = store;
const vault = await createVault({ records, sealed, changes, clock, log, keyring: keyringOf([parseMasterKey(new Secret(key), true)]) });
const audit = createAudit({ records, vault, clock, log, mode: 'before' });
const identity = createIdentity({ records, ephemera, changes, vault, audit, clock, log });
const net = createNet({
  allowPrivate: [{ host: 'localhost', port: Number(port), cidr: '127.0.0.0/8' }],
  clock,
  log,
  resolver: async () => [{ address: '127.0.0.1', family: 4 }],
});
const organization = await identity.defaultOrganization();
const connect = createConnect({
  records,
  ephemera,
  changes,
  identity,
  vault,
  audit,
  net,
  clock,
  log,
  publicUrl: organization.issuer,
  catalogue: loadCatalogue(),
});
const connections = await Promise.all(
  connectionIds.split(',').map(async (text) => {
    const id = parseId('con', text);
    const connection = id === undefined ? undefined : await connect.connection(organization.id, id);
    if (connection === undefined) throw new Error('no such connection');
    return connection;
  }),
);
const by = { organization: organization.id, subject: { kind: 'system' }, actors: [] } as const;

async function ask(connection: (typeof connections)[number]): Promise<string> {
  const results = await Promise.allSettled(Array.from({ length: Number(asks) }, () => connect.fresh(by, connection)));
  const said = results.map((one) =>
    one.status === 'fulfilled' ? one.value.parts.access_token?.reveal() : isFault(one.reason) ? one.reason.code : String(one.reason),
  );
  return [...new Set(said)].join(' ');
}

process.stdout.write('ready\n');
await new Promise((resolve) => process.stdin.once('data', resolve));
const said = await Promise.all(connections.map(async (connection) => [connection.id, await ask(connection)] as const));
process.stdout.write(`${JSON.stringify(Object.fromEntries(said))}\n`);
await connect.close();
await net.close();
await store.close();
process.exit(0);
