import { SupersimError } from '../../../../shared/errors.js';
import { describeSecurity } from '../../../security/authorize.js';
import { defaultKeyFolder, loadKeys } from '../../../security/key-folder.js';
import { defineCheck } from '../../check.js';
import type { Status } from '../../context.js';
import { fromError, good, type Judgement, note, warning } from '../../finding.js';

interface Observation {
  readonly unprotected: 'refuse' | 'allow';
  /** `security.required`, where it is configured. */
  readonly required: boolean | undefined;
  readonly folder: string;
  /** Names of the keys that can be used. */
  readonly keys: readonly string[];
  readonly problems: readonly SupersimError[];
  /** Names of the handlers that need authentication: those with a socket. */
  readonly socketHandlers: readonly string[];
  /** Ports pinned to a format that cannot be protected, and not marked as unprotected. */
  readonly closedPorts: readonly number[];
  /** Of the running agent, if there is one. */
  readonly running: Status['security'];
}

/** Checks who may command the device. */
export const security = defineCheck<Observation>({
  name: 'security',
  async look(context) {
    const { config } = context;
    const named = config.security.keys;
    const folder = named ?? defaultKeyFolder(process.env);
    const place = { path: folder, mayBeMissing: named === undefined, isShared: false };
    const [{ keys, problems }, status] = await Promise.all([loadKeys([place]), context.status()]);
    const sockets = Object.entries(config.handlers).filter(([, handler]) => 'socket' in handler);
    const closed = config.listen.ports.filter(
      ({ format, unprotected }) => format !== 'auto' && format !== 'coap' && unprotected !== 'allow',
    );
    return {
      unprotected: config.security.unprotected,
      required: config.security.required,
      folder,
      keys: keys.map(({ name }) => name),
      problems,
      socketHandlers: sockets.map(([name]) => name),
      closedPorts: closed.map(({ port }) => port),
      running: status instanceof SupersimError ? undefined : status.security,
    };
  },
  judge: judgeSecurity,
});

export function judgeSecurity(seen: Observation): Judgement[] {
  const { keys, problems, required, running } = seen;
  const looked = `security, and the keys in ${seen.folder}`;
  const isRequired = required ?? keys.length + problems.length > 0;
  const findings = problems.map((problem) => fromError(looked, problem));
  findings.push(...judgeRunning(looked, running, keys, problems.length));
  if (isRequired) return [...findings, ...judgeProtected(looked, seen)];
  return [...findings, ...judgeUnprotected(seen, keys.length)];
}

function judgeProtected(looked: string, { keys, closedPorts, unprotected }: Observation): Judgement[] {
  const summary = describeSecurity({ required: true, unprotected, keys: keys.length });
  const findings: Judgement[] = [];
  if (keys.length > 0) findings.push(good(looked, summary));
  else {
    const remedy = 'Install a key, or remove `security.required`; until then only excepted commands are answered.';
    findings.push(warning(looked, 'requests must be protected, but there is no key that can be used', remedy));
  }
  if (closedPorts.length > 0) {
    const found = `nothing is taken on ${closedPorts.join(', ')}: what is pinned to its format cannot be protected`;
    findings.push(warning('listen.ports', found, 'Set `unprotected: allow` for the port, or remove it.'));
  }
  return findings;
}

function judgeUnprotected({ unprotected, socketHandlers }: Observation, keys: number): Judgement[] {
  const looked = 'security.unprotected';
  const summary = describeSecurity({ required: false, unprotected, keys });
  if (unprotected === 'allow') {
    return [warning(looked, summary, 'Remove `security.unprotected` unless these commands are needed.')];
  }
  const remedy =
    'Give the device a key: then only protected requests run commands. Keep `allow` as narrow as the network permits.';
  const judgement = note(looked, summary, remedy);
  if (socketHandlers.length === 0 || keys > 0) return [judgement];
  const found = `configured but off: ${socketHandlers.join(', ')}`;
  const how =
    'Give the device a key, or set `security.unprotected: allow` to let every admitted source run them, or remove them.';
  return [judgement, warning(looked, found, how, 'authentication-required')];
}

/** Compares the folder with what the running agent has, and looks at whether it can answer. */
function judgeRunning(
  looked: string,
  running: Status['security'],
  keys: readonly string[],
  problems: number,
): Judgement[] {
  if (running === undefined) return [];
  const findings: Judgement[] = [];
  const missing = keys.filter((name) => !running.keys.some((key) => key.name === name));
  const reload = 'Run `sudo supersim-agent reload`.';
  if (missing.length > 0)
    findings.push(warning(looked, `the running agent does not use ${missing.join(', ')}`, reload));
  // Those that this user can read, and the agent cannot.
  if (problems === 0 && running.problems.length > 0) {
    findings.push(
      warning(
        looked,
        `the running agent: ${running.problems.join('; ')}`,
        'Run `chown root:supersim-agent FILE` and `chmod 640 FILE`, then reload.',
        'key-unsafe',
      ),
    );
  }
  const { numbers } = running;
  if (numbers === 'unknown' || numbers === 'exhausted' || numbers === 'unwritable') {
    findings.push(
      warning(
        looked,
        `the running agent cannot protect its replies: sequence numbers are ${numbers}`,
        NUMBERS[numbers],
        'numbers-unavailable',
      ),
    );
  }
  return findings;
}

const NUMBERS = {
  unknown: 'They are lost until the clock is synchronised: run `sudo timedatectl set-ntp true`.',
  unwritable: 'Free or repair the disk of `state.folder`; the check of the disk says more.',
  exhausted: 'Replace the keys: they are used up, or the clock was far in the future.',
} as const;
