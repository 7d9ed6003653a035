import type { Unit } from '../../../../../agent/doctor/systemd-unit.js';
import { playProgram } from '../../support.js';

/** What `systemctl show` of systemd 252 printed of the running service. */
export const RUNNING = {
  WatchdogUSec: '30s',
  Result: 'success',
  NRestarts: '0',
  ExecMainStartTimestamp: 'Mon 2026-11-23 21:46:50 UTC',
  ExecMainCode: '0',
  ExecMainStatus: '0',
  User: 'root',
  LoadState: 'loaded',
  ActiveState: 'active',
  SubState: 'running',
  UnitFileState: 'enabled',
  NeedDaemonReload: 'no',
} as const satisfies Unit['properties'];

export const RESTARTING = { ActiveState: 'activating', SubState: 'auto-restart', ExecMainCode: '1' };

export function playSystemctl(properties: Readonly<Record<string, string>>): void {
  const lines = Object.entries({ ...RUNNING, ...properties }).map(([name, value]) => `${name}=${value}`);
  playProgram('systemctl', `cat <<'END'\n${lines.join('\n')}\nEND`);
}

export const NOT_BOOTED =
  'echo "System has not been booted with systemd as init system (PID 1). Can\'t operate." >&2\n' +
  'echo "Failed to connect to bus: Host is down" >&2\nexit 1';

/** A line that `journalctl --output=json` printed. */
export const line = (message: unknown, priority = '6', at = '1795470431757000') =>
  JSON.stringify({ MESSAGE: message, PRIORITY: priority, __REALTIME_TIMESTAMP: at, __CURSOR: 's=1', _BOOT_ID: '7301' });

export const playJournal = (...lines: readonly string[]) =>
  playProgram('journalctl', `cat <<'END'\n${lines.join('\n')}\nEND`);

export const STARTED = line('{"level":"info","time":1795470410485,"device":"vm","commands":7,"msg":"agent started"}');
