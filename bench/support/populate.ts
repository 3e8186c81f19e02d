import { closeSync, fsyncSync, openSync } from 'node:fs';
import { DatabaseSync } from 'node:sqlite';

/**
 * Adds `count` agents, each with a vault, a connection in it and a permission, straight to the file: what other people
 * of the organization would have made over years.
 */
export function populate(file: string, organization: string, count: number): void {
  const db = new DatabaseSync(file);
  db.exec('pragma synchronous = off; pragma cache_size = -400000; pragma temp_store = memory;');
  const series = `with recursive n(i) as (select 1 union all select i + 1 from n where i < ${count})`;
  /** Ids as ours are made: fixed width, in order of time. */
  const id = (prefix: string) => `'${prefix}_00' || printf('%024d', i)`;
  const common = `'${organization}', 1700000000000 + i`;
  db.exec('begin immediate');
  db.exec(`${series} insert into agents (id, organization_id, created_at, handle, did, public_jwk_json, algorithm, status, registered_from, epoch, version)
    select ${id('agt')}, ${common}, 'other-' || i, 'did:key:z' || i, '{}', 'EdDSA', 'active', '', 1, 1 from n`);
  db.exec(`${series} insert into connections (id, organization_id, created_at, vault_id, provider_id, name, live, is_default, shared, kind,
      status_json, account_json, scopes_json, pinned_json, sealed_version, version)
    select ${id('con')}, ${common}, ${id('vlt')}, 'bench-api', 'default', 1, 1, 0, 'api_key', '{"kind":"connected"}', '{}', '[]', '{}', 1, 1 from n`);
  db.exec(`${series} insert into permissions (id, organization_id, created_at, effect, agent_id, connection_id, reach_json, pass_credential, created_by_json, version)
    select ${id('prm')}, ${common}, 'allow', ${id('agt')}, ${id('con')},
      '{"classes":["read"],"operations":[],"patterns":[],"everything":false}', 0, '{}', 1 from n`);
  db.exec('commit');
  db.exec('pragma wal_checkpoint(truncate)');
  db.close();
  settle(file);
}

/** What the disk has not yet taken would be waited for by the first calls that are recorded. */
function settle(file: string): void {
  const open = openSync(file, 'r+');
  fsyncSync(open);
  closeSync(open);
}
