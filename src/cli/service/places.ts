/** Where the service is. Key file and database lie apart: whoever copies the one has not got the other. */
export const places = {
  user: 'gatehouse',
  /** The program and its runtime: root's alone, so that no agent's user can change what runs as the service. */
  program: '/usr/local/lib/gatehouse',
  data: '/var/lib/gatehouse',
  /** Master key and settings. */
  config: '/etc/gatehouse',
  settings: '/etc/gatehouse/settings.env',
  state: '/run/gatehouse',
  socket: '/run/gatehouse/gatehouse.sock',
  cache: '/var/cache/gatehouse',
  serviceUnit: '/etc/systemd/system/gatehouse.service',
  socketUnit: '/etc/systemd/system/gatehouse.socket',
} as const;

/** What the server and its operator's commands find these by. */
export function serviceEnvironment(port: number): Readonly<Record<string, string>> {
  return {
    GATEHOUSE_HOME: places.data,
    GATEHOUSE_PORT: String(port),
    XDG_CONFIG_HOME: '/etc',
    XDG_RUNTIME_DIR: '/run',
    XDG_CACHE_HOME: '/var/cache',
  };
}

export const urlOf = (port: number): string => `http://localhost:${port}`;
