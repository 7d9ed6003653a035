import { stat } from 'node:fs/promises';
import { isSupersimError, SupersimError, systemCodeOf } from '../../../../shared/errors.js';
import type { Config } from '../../../config/schema.js';
import { defaultReboot } from '../../../handlers/builtin/restart.js';
import { resolveSafeFile } from '../../../handlers/file-safety.js';
import { resolveProgram } from '../../../handlers/program.js';
import { resolveSafeSocket } from '../../../handlers/socket.js';
import { defineCheck } from '../../check.js';
import { fromError, good, type Judgement, note, warning } from '../../finding.js';
import { canAccess, type Identity } from '../../identity.js';

/** The permission that each use of a file needs. */
const PERMISSION = { run: 'run', read: 'read', connect: 'write' } as const;

interface File {
  /** The handler's name, or the kind of file. */
  readonly name: string;
  readonly path: string;
  /** How the agent uses it: runs a program, reads a module, or connects to a socket. */
  readonly use: keyof typeof PERMISSION;
  /** The user to run it as, if not the agent: then only safety is checked. */
  readonly user?: string | undefined;
  /** Its working directory. */
  readonly folder?: string | undefined;
  /** The agent works without it. */
  readonly isOptional?: true;
}

interface InspectedFile extends File {
  readonly problem?: SupersimError;
  /** This user may not inspect it. */
  readonly isHidden?: true;
}

interface Observation {
  readonly agent: Identity;
  readonly files: readonly InspectedFile[];
}

/** Checks whether the handlers' files exist and are safe by the agent's own rules. Runs none of them. */
export const handlers = defineCheck<Observation>({
  name: 'handlers',
  async look(context) {
    const agent = await context.agent();
    return { agent, files: await Promise.all(filesOf(context.config).map((file) => inspect(file, agent))) };
  },
  judge: judgeHandlers,
});

function filesOf({ handlers: configured, modules, device }: Config): File[] {
  return [
    ...Object.entries(configured).map(([name, handler]): File => {
      if ('socket' in handler) return { name, path: handler.socket, use: 'connect' };
      const { program, user, directory: folder } = handler;
      return { name, path: program[0] ?? '', use: 'run', user, folder };
    }),
    ...modules.map((path): File => ({ name: 'module', path, use: 'read' })),
    ...optionalFile('device.reboot', device.reboot ?? defaultReboot()),
    ...optionalFile('agent.restart', device.restart ?? []),
  ];
}

function optionalFile(name: string, way: readonly string[] | { readonly socket: string }): File[] {
  if ('socket' in way) return [{ name, path: way.socket, use: 'connect', isOptional: true }];
  const [path] = way;
  return path === undefined ? [] : [{ name, path, use: 'run', isOptional: true }];
}

async function inspect(file: File, agent: Identity): Promise<InspectedFile> {
  try {
    await check(file, agent);
    return file;
  } catch (error) {
    if (systemCodeOf(error) === 'EACCES') return { ...file, isHidden: true };
    if (!isSupersimError(error)) throw error;
    return systemCodeOf(error.cause) === 'EACCES' ? { ...file, isHidden: true } : { ...file, problem: error };
  }
}

/** @throws SupersimError; the system's error where this user may not inspect the file */
async function check({ path, use, user, folder }: File, agent: Identity): Promise<void> {
  if (user !== undefined && agent.uid !== 0) {
    const found = `only an agent of root can run it as ${user}; this one runs as ${agent.name}`;
    throw new SupersimError('handler-invalid', found, { remedy: 'Remove `user`.' });
  }
  const real = await RESOLVE[use](path, agent.uid);
  if (folder !== undefined && !(await stat(folder).catch(() => undefined))?.isDirectory()) {
    throw new SupersimError('handler-invalid', `its working directory ${folder} does not exist`);
  }
  if (user === undefined && (await canAccess(real, agent, PERMISSION[use])) === false) {
    throw new SupersimError('handler-invalid', `the agent’s user ${agent.name} may not ${VERB[use]} ${path}`, {
      remedy: REMEDY[use](path),
    });
  }
}

const RESOLVE = { run: resolveProgram, read: resolveSafeFile, connect: resolveSafeSocket } as const;
const VERB = { run: 'run', read: 'read', connect: 'connect to' } as const;
const REMEDY = {
  run: (path: string) => `Run \`sudo chmod a+rx ${path}\`, and make its folders accessible.`,
  read: (path: string) => `Run \`sudo chmod a+r ${path}\`, and make its folders accessible.`,
  connect: () => 'Set `SocketGroup=supersim-agent` and `SocketMode=0660` in its unit, then restart it.',
} as const;

export function judgeHandlers({ agent, files }: Observation): Judgement[] {
  const looked = `handlers’ files, for the user ${agent.name}`;
  const judgements = files.flatMap((file): Judgement[] => {
    const what = `${file.name} (${file.path})`;
    if (file.isHidden) return [note(looked, `${what}: this user may not inspect it`, 'Run it with sudo.')];
    if (file.problem === undefined) return [];
    const { code, message, remedy } = file.problem;
    if (file.isOptional) return [warning(looked, `${what}: ${message}`, remedy, code)];
    return [fromError(looked, new SupersimError(code, `${what}: ${message}`, { remedy }))];
  });
  if (judgements.length > 0) return judgements;
  return [good(looked, `${files.length} files exist, and only their owner can change them`)];
}
