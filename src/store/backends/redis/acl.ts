import { prefixesOf } from './prefixes.ts';

/** What our commands and scripts run on a node, and no more. */
const onNodes = [
  'ping',
  'info',
  'get',
  'set',
  'del',
  'getdel',
  'getrange',
  'eval',
  'evalsha',
  'scan',
  'time',
  'select',
  'cluster|slots',
  'cluster|info',
  'publish',
  'subscribe',
];

const onSentinels = ['ping', 'sentinel|get-master-addr-by-name', 'sentinel|sentinels', 'subscribe'];

/** The least rights of our users, as lines for `redis-cli` or an ACL file; the passwords are the operator's to put in. */
export function redisAcl(prefix: string | undefined): readonly string[] {
  const { ephemera, sealed, changes } = prefixesOf(prefix);
  const rights = (commands: readonly string[]) => commands.map((name) => `+${name}`).join(' ');
  return [
    '# on every node that holds data; ~…vault:* only with GATEHOUSE_VAULT_BACKEND=redis',
    `ACL SETUSER gatehouse reset on >PASSWORD ~${ephemera}* ~${sealed}vault:* &${changes} ${rights(onNodes)}`,
    '# on every sentinel, if there are any',
    `ACL SETUSER gatehouse-sentinel reset on >PASSWORD &+switch-master ${rights(onSentinels)}`,
  ];
}
