import { defineCheck } from '../../check.js';
import { failure, good, type Judgement, note, warning } from '../../finding.js';
import { UNIT, type Unit } from '../../systemd-unit.js';

interface Observation {
  readonly unit: Unit;
  /** An agent answers on the control socket, as a service or not. */
  readonly isRunning: boolean;
}

/** Exit codes that systemd gives where it could not start a service: systemd.exec(5), "Process Exit Codes". */
const SYSTEMD_CODES: Readonly<Record<string, readonly [what: string, remedy: string]>> = {
  '203': ['its program cannot be run', 'Check that the program of `ExecStart=` and Node are installed and executable.'],
  '217': ['its user does not exist', 'Run `sudo systemd-sysusers`; check that the file in sysusers.d is installed.'],
  '216': ['its group does not exist', 'Run `sudo systemd-sysusers`; check that the file in sysusers.d is installed.'],
  '226': ['its mount namespace cannot be set up', 'Check that the paths in the unit exist.'],
  '233': ['its folder in /run cannot be created', 'Check that /run is writable and has space.'],
  '238': ['its state folder cannot be created', 'Check that /var/lib is writable and has space.'],
};

/** Checks the service's state, its settings, and how its process ended last. */
export const service = defineCheck<Observation>({
  name: 'service',
  look: async (context) => ({
    unit: await context.unit(),
    isRunning: !((await context.status()) instanceof Error),
  }),
  judge: judgeService,
});

export function judgeService({ unit, isRunning }: Observation): Judgement[] {
  const looked = `systemctl show ${UNIT}`;
  const { properties, failed } = unit;
  if (properties === undefined) return [note(looked, `systemctl failed: ${failed}`)];
  if (properties.LoadState !== 'loaded') {
    const found = `the service is not installed (${properties.LoadState ?? 'unknown'})`;
    if (isRunning) return [note(looked, `${found}, but an agent is running`)];
    return [warning(looked, found, 'Install the package, or the unit file as described in the README.')];
  }
  return [stateOf(looked, properties, isRunning), ...settings(looked, properties)];
}

type Properties = NonNullable<Unit['properties']>;

function stateOf(looked: string, properties: Properties, isRunning: boolean): Judgement {
  const { ActiveState: active, SubState: sub, NRestarts: restarts = '0' } = properties;
  const since = properties.ExecMainStartTimestamp ? ` since ${properties.ExecMainStartTimestamp}` : '';
  const state = `${active} (${sub})`;
  if (active === 'active') {
    if (restarts === '0') return good(looked, `${state}${since}`);
    const remedy = 'Read why it exited: `journalctl -u supersim-agent -b`.';
    return warning(looked, `${state}${since}; restarted ${restarts} times after it exited`, remedy);
  }
  const last = lastExit(properties);
  if (active === 'inactive') {
    const remedy = 'Run `sudo systemctl enable --now supersim-agent`.';
    if (isRunning) return warning(looked, `${state}, but an agent runs outside the service`, remedy);
    return failure(looked, state, remedy);
  }
  if (active === 'activating' && sub !== 'auto-restart') return note(looked, `${state}: starting`);
  return failure(looked, `${state}, ${last.what}; restarted ${restarts} times`, last.remedy);
}

/** Explains how the service's process ended last. */
function lastExit({ Result: result, ExecMainStatus: status = '' }: Properties): { what: string; remedy: string } {
  const [what, remedy] = SYSTEMD_CODES[status] ?? [];
  const read =
    'Read why with `journalctl -u supersim-agent -n 50`; `sudo supersim-agent config check` finds mistakes in the configuration.';
  if (result === 'oom-kill') {
    const own = 'Find the handler that uses the memory, or raise `MemoryMax=` of the service.';
    return { what: 'it ran out of memory', remedy: own };
  }
  if (result === 'watchdog') return { what: 'the watchdog killed it', remedy: read };
  if (what !== undefined && remedy !== undefined) return { what: `${what} (status ${status})`, remedy };
  return { what: `the last exit was ${result}, status ${status}`, remedy: read };
}

function settings(looked: string, { UnitFileState: file, NeedDaemonReload: changed }: Properties): Judgement[] {
  const judgements: Judgement[] = [];
  if (file === 'disabled') {
    const remedy = 'Run `sudo systemctl enable supersim-agent`.';
    judgements.push(warning(looked, 'it does not start at boot', remedy));
  }
  if (file === 'masked')
    judgements.push(failure(looked, 'it is masked', 'Run `sudo systemctl unmask supersim-agent`.'));
  if (changed === 'yes') {
    const remedy = 'Run `sudo systemctl daemon-reload && sudo systemctl restart supersim-agent`.';
    judgements.push(warning(looked, 'the unit file was changed, but systemd has not read it again', remedy));
  }
  return judgements;
}
