import { stat } from 'node:fs/promises';
import { isSupersimError, SupersimError, systemCodeOf } from '../../../../shared/errors.js';
import type { Config } from '../../../config/schema.js';
import { defaultReboot } from '../../../handlers/builtin/end.js';
import { checkedPath } from '../../../handlers/file-safety.js';
import { checkedSocket } from '../../../handlers/socket.js';
import { defineCheck } from '../../check.js';
import { fromError, good, type Judgement, note, warning } from '../../finding.js';
import { type Identity, mayUse } from '../../identity.js';

/** What may be wanted of a file, and the right that it takes. */
const RIGHT = { run: 'run', read: 'read', connect: 'write' } as const;

interface File {
  /** Of the handler, or what the file is. */
  readonly name: string;
  readonly path: string;
  /** Run, or read as a module; or the socket of a service. */
  readonly want: keyof typeof RIGHT;
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

function filesOf({ handlers: configured, modules, device }: Config): File[] {
  return [
    ...Object.entries(configured).map(([name, handler]): File => {
      if ('socket' in handler) return { name, path: handler.socket, want: 'connect' };
      const { program, user, directory: folder } = handler;
      return { name, path: program[0] ?? '', want: 'run', user, folder };
    }),
    ...modules.map((path): File => ({ name: 'module', path, want: 'read' })),
    ...spareFile('device.reboot', device.reboot ?? defaultReboot()),
    ...spareFile('agent.restart', device.restart ?? []),
  ];
}

function spareFile(name: string, way: readonly string[] | { readonly socket: string }): File[] {
  if ('socket' in way) return [{ name, path: way.socket, want: 'connect', isSpare: true }];
  const [path] = way;
  return path === undefined ? [] : [{ name, path, want: 'run', isSpare: true }];
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
  const real = await (want === 'connect' ? checkedSocket : checkedPath)(path, agent.uid);
  if (want !== 'connect' && !(await stat(real)).isFile())
    throw new SupersimError('handler-invalid', `${path} is no file`);
  if (folder !== undefined && !(await stat(folder).catch(() => undefined))?.isDirectory()) {
    throw new SupersimError('handler-invalid', `there is no folder ${folder} to run it in`);
  }
  if (user === undefined && (await mayUse(real, agent, RIGHT[want])) === false) {
    throw new SupersimError('handler-invalid', `the agent’s user ${agent.name} may not ${DOING[want]} ${path}`, {
      remedy: REMEDY[want](path),
    });
  }
}

const DOING = { run: 'run', read: 'read', connect: 'connect to' } as const;
const REMEDY = {
  run: (path: string) => `Run \`sudo chmod a+rx ${path}\`, and let its folders be entered.`,
  read: (path: string) => `Run \`sudo chmod a+r ${path}\`, and let its folders be entered.`,
  connect: () => 'Give its unit `SocketGroup=supersim-agent` and `SocketMode=0660`, and restart it.',
} as const;

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
