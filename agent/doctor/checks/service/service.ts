import { defineCheck } from '../../check.js';
import { fault, good, type Judgement, note, warning } from '../../finding.js';
import { UNIT, type Unit } from '../../unit.js';

interface Seen {
  readonly unit: Unit;
  /** An agent answers on the control socket, whoever started it. */
  readonly isRunning: boolean;
}

/** Exit codes that systemd gives where it could not start a service: systemd.exec(5), "Process Exit Codes". */
const SYSTEMD_CODES: Readonly<Record<string, readonly [what: string, remedy: string]>> = {
  '203': [
    'its program cannot be run',
    'Look whether the program of `ExecStart=`, and Node, are installed and may be run.',
  ],
  '217': [
    'its user is not there',
    'Run `sudo systemd-sysusers`, and look whether the file in sysusers.d is installed.',
  ],
  '216': [
    'its group is not there',
    'Run `sudo systemd-sysusers`, and look whether the file in sysusers.d is installed.',
  ],
  '226': ['its view of the file system cannot be made', 'Look whether the paths that the unit names are there.'],
  '233': ['its folder in /run cannot be made', 'Look whether /run is writable, and has room.'],
  '238': ['its state folder cannot be made', 'Look whether /var/lib is writable, and has room.'],
};

/** What systemd says of the service, and how its process ended last. */
export const service = defineCheck<Seen>({
  name: 'service',
  look: async (context) => ({
    unit: await context.unit(),
    isRunning: !((await context.status()) instanceof Error),
  }),
  judge: judgeService,
});

export function judgeService({ unit, isRunning }: Seen): Judgement[] {
  const looked = `systemctl show ${UNIT}`;
  const { properties, failed } = unit;
  if (properties === undefined) return [note(looked, `systemd cannot be asked: ${failed}`)];
  if (properties.LoadState !== 'loaded') {
    const found = `the service is not installed (${properties.LoadState ?? 'unknown'})`;
    if (isRunning) return [note(looked, `${found}; an agent runs all the same`)];
    return [warning(looked, found, 'Install the package, or the unit file as the README says.')];
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
    const remedy = 'Read what it said before it ended: `journalctl -u supersim-agent -b`.';
    return warning(looked, `${state}${since}; it ended by itself and was started again ${restarts} times`, remedy);
  }
  const last = lastExit(properties);
  if (active === 'inactive') {
    const remedy = 'Run `sudo systemctl enable --now supersim-agent`.';
    if (isRunning) return warning(looked, `${state}, while another agent runs that is not the service`, remedy);
    return fault(looked, state, remedy);
  }
  if (active === 'activating' && sub !== 'auto-restart') return note(looked, `${state}: it is just starting`);
  return fault(looked, `${state}, ${last.what}; started again ${restarts} times`, last.remedy);
}

/** How the service's process ended last, and what helps. */
function lastExit({ Result: result, ExecMainStatus: status = '' }: Properties): { what: string; remedy: string } {
  const [what, remedy] = SYSTEMD_CODES[status] ?? [];
  const read =
    'Read why with `journalctl -u supersim-agent -n 50`; `sudo supersim-agent config check` finds mistakes in the configuration.';
  if (result === 'oom-kill') {
    const own = 'Look which handler takes so much memory, or raise `MemoryMax=` of the service.';
    return { what: 'it ran out of memory', remedy: own };
  }
  if (result === 'watchdog') return { what: 'the watchdog ended it', remedy: read };
  if (what !== undefined && remedy !== undefined) return { what: `${what} (status ${status})`, remedy };
  return { what: `last it ended with ${result}, status ${status}`, remedy: read };
}

function settings(looked: string, { UnitFileState: file, NeedDaemonReload: changed }: Properties): Judgement[] {
  const judgements: Judgement[] = [];
  if (file === 'disabled') {
    const remedy = 'Run `sudo systemctl enable supersim-agent`.';
    judgements.push(warning(looked, 'it is not started when the device boots', remedy));
  }
  if (file === 'masked') judgements.push(fault(looked, 'it is masked', 'Run `sudo systemctl unmask supersim-agent`.'));
  if (changed === 'yes') {
    const remedy = 'Run `sudo systemctl daemon-reload && sudo systemctl restart supersim-agent`.';
    judgements.push(warning(looked, 'the unit’s file was changed, and systemd still goes by the old one', remedy));
  }
  return judgements;
}
