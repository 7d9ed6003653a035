import type { Stats } from 'node:fs';
import { readdir, stat } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { type SupersimError, systemCodeOf } from '../../../../shared/errors.js';
import type { Config } from '../../../config/schema.js';
import { defineCheck } from '../../check.js';
import { failure, fromError, good, type Judgement, note, warning } from '../../finding.js';
import { canAccess, formatOwner, groupName, type Identity } from '../../identity.js';

const OTHERS_WRITE = 0o002;
const GROUP_WRITES = 0o020;
/** A user who owns no file and is in no group. */
const ANYBODY: Identity = { name: 'anybody', uid: -1, groups: [] };

export interface Observation {
  readonly file: string;
  /** Of the file, or the system's error code. */
  readonly status: Pick<Stats, 'uid' | 'gid' | 'mode' | 'mtimeMs'> | string;
  readonly error: SupersimError | undefined;
  readonly counts: { readonly programs: number; readonly modules: number };
  /** Kinds of secrets in it, for people. */
  readonly secrets: readonly string[];
  readonly agent: Identity;
  /** Name of the agent's own group. */
  readonly agentGroup: string;
  /** Whether the agent can read it; undefined where this user cannot tell. */
  readonly isReadable: boolean | undefined;
  /** Whether every user can read it. */
  readonly isOpen: boolean;
  /** Copies beside it, by dpkg or an editor, that every user can read. */
  readonly openCopies: readonly string[];
  /** When the running agent was started, in Unix milliseconds. */
  readonly startedAt: number | undefined;
}

/** Checks whether the configuration is valid, and who can read and change it. */
export const configuration = defineCheck<Observation>({
  name: 'configuration',
  async look(context) {
    const { file, config } = context;
    const status = await stat(file).catch((error: unknown) => systemCodeOf(error) ?? 'unknown');
    const agent = await context.agent();
    const running = await context.status();
    return {
      file,
      status,
      error: context.configError,
      counts: { programs: Object.keys(config.handlers).length, modules: config.modules.length },
      secrets: secretsIn(config),
      agent,
      agentGroup: groupName(agent.groups[0] ?? agent.uid),
      isReadable: typeof status === 'string' ? undefined : await canAccess(file, agent, 'read'),
      isOpen: typeof status !== 'string' && (await isOpen(file)),
      openCopies: await openCopies(file),
      startedAt: running instanceof Error ? undefined : Date.now() - running.uptime * 1000,
    };
  },
  judge: judgeConfiguration,
});

function secretsIn({ modem, handlers }: Config): string[] {
  // An entry without a value passes on a variable of the agent's own environment.
  const hasEnvironment = Object.values(handlers).some(
    (each) => 'environment' in each && each.environment.some((entry) => entry.includes('=')),
  );
  return [
    ...(modem.pin === undefined ? [] : ['the SIM’s PIN']),
    ...(hasEnvironment ? ['the environment of handlers'] : []),
  ];
}

const isOpen = async (file: string): Promise<boolean> => (await canAccess(file, ANYBODY, 'read')) === true;

/** `config.yaml.dpkg-old`, `config.yaml~`, `.config.yaml.swp`, `#config.yaml#` and the like. */
async function openCopies(file: string): Promise<string[]> {
  const name = basename(file);
  const names = await readdir(dirname(file)).catch(() => []);
  const copies = names.filter((each) => each !== name && each.replace(/^[.#]/, '').startsWith(name)).sort();
  const judged = copies.map(async (copy) => {
    const path = join(dirname(file), copy);
    // The file may be gone by now.
    return { path, open: await isOpen(path).catch(() => false) };
  });
  return (await Promise.all(judged)).filter(({ open }) => open).map(({ path }) => path);
}

export function judgeConfiguration(observed: Observation): Judgement[] {
  const { file, status, error } = observed;
  if (typeof status === 'string')
    return [error === undefined ? builtIn(file) : unusable(file, error), ...judgeCopies(observed)];
  const looked = `${file} (${formatOwner(status)})`;
  const usable = error === undefined ? valid(looked, observed) : unusable(looked, error);
  return [
    usable,
    ...judgeReaders(looked, observed),
    ...judgeWriters(looked, observed, status),
    ...judgeCopies(observed),
  ];
}

const builtIn = (file: string): Judgement => good(file, 'no file: the built-in configuration applies');

/** An unreadable file is fine for this user, but the other checks then know nothing of it. */
function unusable(looked: string, error: SupersimError): Judgement {
  if (systemCodeOf(error.cause) !== 'EACCES') return fromError(looked, error);
  const found = 'this user may not read it: the checks below use the built-in configuration';
  return note(looked, found, error.remedy, error.code);
}

function valid(looked: string, { counts, startedAt, status }: Observation): Judgement {
  const { programs, modules } = counts;
  const found = `valid: ${programs} programs, ${modules} modules`;
  if (startedAt === undefined || typeof status === 'string' || status.mtimeMs <= startedAt) return good(looked, found);
  return note(
    looked,
    `${found}; changed after the agent started, and not in force unless it was reloaded since`,
    'Run `sudo supersim-agent reload`.',
  );
}

/** The agent must be able to read it, other users must not. */
function judgeReaders(looked: string, observed: Observation): Judgement[] {
  const { isReadable, isOpen, secrets, agent } = observed;
  if (isReadable === false) {
    const remedy = `${ownershipRemedy(observed)} Let ${agent.name} enter its folder too.`;
    return [failure(looked, `the agent’s user ${agent.name} may not read it`, remedy, 'config-unreadable')];
  }
  if (!isOpen) return [];
  const what = secrets.length === 0 ? 'any secret in it' : secrets.join(' and ');
  return [warning(looked, `every user can read it, and with it ${what}`, ownershipRemedy(observed))];
}

/** The configuration names what the agent runs: whoever can change it has the agent's rights. */
function judgeWriters(
  looked: string,
  observed: Observation,
  { uid, mode }: Exclude<Observation['status'], string>,
): Judgement[] {
  if ((mode & OTHERS_WRITE) !== 0)
    return [failure(looked, 'every user can change it and so make the agent run anything', ownershipRemedy(observed))];
  if (uid !== 0 && uid !== observed.agent.uid)
    return [
      warning(
        looked,
        'its owner, neither root nor the agent, can make the agent run anything',
        ownershipRemedy(observed),
      ),
    ];
  if ((mode & GROUP_WRITES) !== 0)
    return [
      warning(looked, 'its whole group can change it and so make the agent run anything', ownershipRemedy(observed)),
    ];
  return [];
}

/** Root may write it, the agent may read it, nobody else may do either. */
const ownershipRemedy = ({ file, agentGroup }: Observation): string =>
  `Run \`sudo chown root:${agentGroup} ${file} && sudo chmod 640 ${file}\`.`;

function judgeCopies({ file, openCopies: open }: Observation): Judgement[] {
  if (open.length === 0) return [];
  const found = `every user can read ${open.join(', ')}, and with them secrets of ${file}`;
  return [warning(`copies of ${file}`, found, `Delete them, or run \`sudo chmod o= ${open.join(' ')}\`.`)];
}
