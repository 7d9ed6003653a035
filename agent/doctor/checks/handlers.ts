import { stat } from 'node:fs/promises';
import { isSupersimError, SupersimError, systemCodeOf } from '../../../shared/errors.js';
import type { Config } from '../../config/schema.js';
import { checkedPath } from '../../handlers/file-safety.js';
import { defineCheck } from '../check.js';
import { fromError, good, type Judgement, note, warning } from '../finding.js';
import { type Identity, mayUse } from '../identity.js';

interface File {
  /** Of the handler, or what the file is. */
  readonly name: string;
  readonly path: string;
  /** Run, or read as a module. */
  readonly want: 'run' | 'read';
  /** As whom, where that is not the agent: then only safety is looked at. */
  readonly user?: string | undefined;
  /** Where it is run. */
  readonly folder?: string | undefined;
  /** The agent works without it. */
  readonly isSpare?: true;
}

interface Looked extends File {
  readonly problem?: SupersimError;
  /** This user may not see. */
  readonly isHidden?: true;
}

interface Seen {
  readonly agent: Identity;
  readonly files: readonly Looked[];
}

/** Whether the handlers' files are there, and safe to run by the rules that the agent has. None of them is run. */
export const handlers = defineCheck<Seen>({
  name: 'handlers',
  async look(context) {
    const agent = await context.agent();
    return { agent, files: await Promise.all(filesOf(context.config).map((file) => lookAt(file, agent))) };
  },
  judge: judgeHandlers,
});

function filesOf({ handlers: programs, modules, device }: Config): File[] {
  const own = [
    { name: 'device.reboot', program: device.reboot },
    { name: 'agent.restart', program: device.restart ?? [] },
  ];
  return [
    ...Object.entries(programs).map(
      ([
        name,
        {
          program: [path = ''],
          user,
          directory: folder,
        },
      ]): File => {
        return { name, path, want: 'run', user, folder };
      },
    ),
    ...modules.map((path): File => ({ name: 'module', path, want: 'read' })),
    ...own.flatMap(({ name, program: [path] }): File[] =>
      path === undefined ? [] : [{ name, path, want: 'run', isSpare: true }],
    ),
  ];
}

async function lookAt(file: File, agent: Identity): Promise<Looked> {
  try {
    await check(file, agent);
    return file;
  } catch (error) {
    if (systemCodeOf(error) === 'EACCES') return { ...file, isHidden: true };
    if (!isSupersimError(error)) throw error;
    return systemCodeOf(error.cause) === 'EACCES' ? { ...file, isHidden: true } : { ...file, problem: error };
  }
}

/** @throws SupersimError, or the system's error where this user may not look */
async function check({ path, want, user, folder }: File, agent: Identity): Promise<void> {
  if (user !== undefined && agent.uid !== 0) {
    const found = `only an agent that runs as root can run it as ${user}, and this one is ${agent.name}`;
    throw new SupersimError('handler-invalid', found, { remedy: 'Leave `user` out.' });
  }
  const real = await checkedPath(path, agent.uid);
  if (!(await stat(real)).isFile()) throw new SupersimError('handler-invalid', `${path} is no file`);
  if (folder !== undefined && !(await stat(folder).catch(() => undefined))?.isDirectory()) {
    throw new SupersimError('handler-invalid', `there is no folder ${folder} to run it in`);
  }
  if (user === undefined && (await mayUse(real, agent, want)) === false) {
    const remedy = want === 'run' ? `Run \`sudo chmod a+rx ${path}\`` : `Run \`sudo chmod a+r ${path}\``;
    throw new SupersimError('handler-invalid', `the agent’s user ${agent.name} may not ${want} ${path}`, {
      remedy: `${remedy}, and let its folders be entered.`,
    });
  }
}

export function judgeHandlers({ agent, files }: Seen): Judgement[] {
  const looked = `files of handlers, as the user ${agent.name} sees them`;
  const judgements = files.flatMap((file): Judgement[] => {
    const what = `${file.name} (${file.path})`;
    if (file.isHidden) return [note(looked, `${what}: this user may not look at it`, 'Run it with sudo.')];
    if (file.problem === undefined) return [];
    const { code, message, remedy } = file.problem;
    if (file.isSpare) return [warning(looked, `${what}: ${message}`, remedy, code)];
    return [fromError(looked, new SupersimError(code, `${what}: ${message}`, { remedy }))];
  });
  if (judgements.length > 0) return judgements;
  return [good(looked, `${files.length} files: there, and nobody else can change them`)];
}
