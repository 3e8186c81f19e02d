import { places, serviceEnvironment } from './places.ts';
import type { Program } from './program.ts';

export interface UnitFacts {
  readonly program: Pick<Program, 'flags' | 'entry'>;
  readonly port: number;
  /** The machine has `::1`, which `localhost` may mean. */
  readonly ipv6: boolean;
}

/** Runtime, flags and entry of the program as it is installed. */
export function installedProgram({ flags, entry }: UnitFacts['program']): readonly [string, ...string[]] {
  return [`${places.program}/node`, ...flags, `${places.program}/${entry}`];
}

/** The unit of the server: a user of its own that may write to its own folders and nothing else (systemd.exec(5)). */
export function serviceUnit({ program, port }: UnitFacts): string {
  const environment = Object.entries(serviceEnvironment(port)).map(([name, value]) => `Environment=${name}=${value}`);
  return `# Written by gatehouse service install, which replaces it; change it with: systemctl edit gatehouse
[Unit]
Description=Gatehouse, which calls for agents that hold no secret
Requires=gatehouse.socket
Wants=network-online.target
After=gatehouse.socket network-online.target

[Service]
Type=exec
User=${places.user}
Group=${places.user}
WorkingDirectory=${places.data}
${environment.join('\n')}
ExecStart=${installedProgram(program).join(' ')} serve --env-file ${places.settings}
Restart=on-failure
RestartSec=2
TimeoutStopSec=40
LimitNOFILE=65536
RuntimeDirectory=gatehouse
RuntimeDirectoryMode=0700
CacheDirectory=gatehouse
CacheDirectoryMode=0700
ReadWritePaths=${places.data} ${places.config}
UMask=0077
${hardening.join('\n')}

[Install]
WantedBy=multi-user.target
`;
}

/** Memory is not kept from being written and executed: the runtime compiles as it goes. */
const hardening = [
  'NoNewPrivileges=yes',
  'CapabilityBoundingSet=',
  'AmbientCapabilities=',
  'ProtectSystem=strict',
  'ProtectHome=yes',
  'PrivateTmp=yes',
  'PrivateDevices=yes',
  'ProtectProc=invisible',
  'ProcSubset=all',
  'ProtectClock=yes',
  'ProtectControlGroups=yes',
  'ProtectHostname=yes',
  'ProtectKernelLogs=yes',
  'ProtectKernelModules=yes',
  'ProtectKernelTunables=yes',
  'RestrictAddressFamilies=AF_UNIX AF_INET AF_INET6 AF_NETLINK',
  'RestrictNamespaces=yes',
  'RestrictRealtime=yes',
  'RestrictSUIDSGID=yes',
  'RemoveIPC=yes',
  'LockPersonality=yes',
  'KeyringMode=private',
  'SystemCallArchitectures=native',
  'SystemCallFilter=@system-service',
  'SystemCallFilter=~@privileged',
  'SystemCallErrorNumber=EPERM',
  'LimitCORE=0',
] as const;

/**
 * The unit that holds the addresses from boot on, also while the server restarts: another user of the machine who took
 * the port meanwhile would be sent the sessions and passwords of people who believe to speak to Gatehouse.
 */
export function socketUnit({ port, ipv6 }: UnitFacts): string {
  return `# Written by gatehouse service install, which replaces it.
[Unit]
Description=Addresses of Gatehouse

[Socket]
ListenStream=127.0.0.1:${port}
${ipv6 ? `ListenStream=[::1]:${port}\n` : ''}BindIPv6Only=ipv6-only
NoDelay=yes

[Install]
WantedBy=sockets.target
`;
}

/** The port that a socket unit written earlier holds. */
export function portOf(unit: string): number | undefined {
  const found = /^ListenStream=127\.0\.0\.1:(\d+)$/m.exec(unit)?.[1];
  return found === undefined ? undefined : Number(found);
}

/** What the settings file says at first. */
export const firstSettings = `# Settings of the service, NAME=value; after a change: systemctl restart gatehouse
# Runs come through the relay, so the proxy's own address may be any free port.
GATEHOUSE_PROXY_PORT=0
`;
