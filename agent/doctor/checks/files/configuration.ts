import type { Stats } from 'node:fs';
import { readdir, stat } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { type SupersimError, systemCodeOf } from '../../../../shared/errors.js';
import type { Config } from '../../../config/schema.js';
import { defineCheck } from '../../check.js';
import { failure, fault, fromError, good, type Judgement, note, warning } from '../../finding.js';
import { formatOwner, groupName, type Identity, mayUse } from '../../identity.js';

const OTHERS_WRITE = 0o002;
const GROUP_WRITES = 0o020;
/** Anybody: a user who owns no file, and is in no group. */
const ANYBODY: Identity = { name: 'anybody', uid: -1, groups: [] };

export interface Seen {
  readonly file: string;
  /** Of the file, or the system's error code. */
  readonly status: Pick<Stats, 'uid' | 'gid' | 'mode' | 'mtimeMs'> | string;
  readonly error: SupersimError | undefined;
  readonly counts: { readonly programs: number; readonly modules: number };
  /** What it holds that others must not know. */
  readonly secrets: readonly string[];
  readonly agent: Identity;
  /** Name of the agent's own group. */
  readonly agentGroup: string;
  /** Whether the agent can read it; undefined where that cannot be seen. */
  readonly isReadable: boolean | undefined;
  /** Every user can read it. */
  readonly isOpen: boolean;
  /** Files beside it, made of it by dpkg or an editor, that every user can read. */
  readonly openCopies: readonly string[];
  /** When the agent that runs was started, in Unix milliseconds. */
  readonly startedAt: number | undefined;
}

/** Whether the configuration can be used, by whom it can be read, and by whom it can be changed. */
export const configuration = defineCheck<Seen>({
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
      isReadable: typeof status === 'string' ? undefined : await mayUse(file, agent, 'read'),
      isOpen: typeof status !== 'string' && (await isOpen(file)),
      openCopies: await openCopies(file),
      startedAt: running instanceof Error ? undefined : Date.now() - running.uptime * 1000,
    };
  },
  judge: judgeConfiguration,
});

function secretsIn({ modem, handlers }: Config): string[] {
  // An entry without a value only names a variable of the agent's.
  const hasEnvironment = Object.values(handlers).some(
    (each) => 'environment' in each && each.environment.some((entry) => entry.includes('=')),
  );
  return [
    ...(modem.pin === undefined ? [] : ['the SIM’s PIN']),
    ...(hasEnvironment ? ['the environment of handlers'] : []),
  ];
}

const isOpen = async (file: string): Promise<boolean> => (await mayUse(file, ANYBODY, 'read')) === true;

/** `config.yaml.dpkg-old`, `config.yaml~`, `.config.yaml.swp`, `#config.yaml#` and the like. */
async function openCopies(file: string): Promise<string[]> {
  const name = basename(file);
  const names = await readdir(dirname(file)).catch(() => []);
  const copies = names.filter((each) => each !== name && each.replace(/^[.#]/, '').startsWith(name)).sort();
  const judged = copies.map(async (copy) => {
    const path = join(dirname(file), copy);
    // A file may be gone by now.
    return { path, open: await isOpen(path).catch(() => false) };
  });
  return (await Promise.all(judged)).filter(({ open }) => open).map(({ path }) => path);
}

export function judgeConfiguration(seen: Seen): Judgement[] {
  const { file, status, error } = seen;
  if (typeof status === 'string') return [error === undefined ? builtIn(file) : unusable(file, error), ...copies(seen)];
  const looked = `${file} (${formatOwner(status)})`;
  const usable = error === undefined ? valid(looked, seen) : unusable(looked, error);
  return [usable, ...whoReads(looked, seen), ...whoChanges(looked, seen, status), ...copies(seen)];
}

const builtIn = (file: string): Judgement => good(file, 'it is not there: the built-in configuration is used');

/** That this user may not read it is as it should be, but then the other checks know nothing of it. */
function unusable(looked: string, error: SupersimError): Judgement {
  if (systemCodeOf(error.cause) !== 'EACCES') return fromError(looked, error);
  const found = 'this user may not read it: the checks below go by the built-in configuration';
  return note(looked, found, error.remedy, error.code);
}

function valid(looked: string, { counts, startedAt, status }: Seen): Judgement {
  const { programs, modules } = counts;
  const found = `it is valid: ${programs} programs, ${modules} modules`;
  if (startedAt === undefined || typeof status === 'string' || status.mtimeMs <= startedAt) return good(looked, found);
  return note(
    looked,
    `${found}; it was changed after the agent started, and unless it was loaded again since, that is not in force`,
    'Run `sudo systemctl restart supersim-agent`.',
  );
}

/** The agent has to, and others must not. */
function whoReads(looked: string, seen: Seen): Judgement[] {
  const { isReadable, isOpen, secrets, agent } = seen;
  if (isReadable === false) {
    const remedy = `${handOver(seen)} Its folder must let ${agent.name} in too.`;
    return [failure(looked, `the agent’s user ${agent.name} may not read it`, 'config-unreadable', remedy)];
  }
  if (!isOpen) return [];
  const what = secrets.length === 0 ? 'any secret that it will hold' : secrets.join(' and ');
  return [warning(looked, `every user can read it, and so ${what}`, handOver(seen))];
}

/** It says what the agent runs: who may change it can do all that the agent can. */
function whoChanges(looked: string, seen: Seen, { uid, mode }: Exclude<Seen['status'], string>): Judgement[] {
  if ((mode & OTHERS_WRITE) !== 0)
    return [fault(looked, 'every user can change it, and so have the agent run what they like', handOver(seen))];
  if (uid !== 0 && uid !== seen.agent.uid)
    return [
      warning(looked, 'its owner, who is neither root nor the agent, can have the agent run things', handOver(seen)),
    ];
  if ((mode & GROUP_WRITES) !== 0)
    return [warning(looked, 'its whole group can change it, and so have the agent run things', handOver(seen))];
  return [];
}

/** Root's to change, the agent's to read, and nobody else's. */
const handOver = ({ file, agentGroup }: Seen): string =>
  `Run \`sudo chown root:${agentGroup} ${file} && sudo chmod 640 ${file}\`.`;

function copies({ file, openCopies: open }: Seen): Judgement[] {
  if (open.length === 0) return [];
  const found = `every user can read ${open.join(', ')}, and what secrets there were in ${file}`;
  return [warning(`copies of ${file}`, found, `Delete what nobody needs, or run \`sudo chmod o= ${open.join(' ')}\`.`)];
}
