import { access, constants, open, stat } from 'node:fs/promises';
import { isAbsolute } from 'node:path';
import { messageOf, SupersimError } from '../../shared/errors.js';
import { utf8Tail } from '../../shared/format/cut.js';
import type { ProgramConfig } from '../config/schema.js';
import { configuredHandler } from './configured-handler.js';
import { type KnownPlaces, resolveSafeFile } from './file-safety.js';
import type { Handler, HandlerContext } from './handler.js';
import { beforeStart } from './not-started.js';
import { type ProcessResult, runProcess } from './process.js';
import { ERROR_TAIL_BYTES, readOutput, writeInput } from './stdio.js';
import { findUserIds } from './user-ids.js';

/**
 * Makes a handler that runs a program without a shell. The program gets the parameters as JSON on stdin and as variables,
 * `SUPERSIM_PARAM_NAME` or `SUPERSIM_ARG_1`. Its stdout is the reply; a non-zero exit code is a failure, with the end of
 * stderr. For a raw port stdin is the datagram, and stdout is sent back byte for byte.
 *
 * @param findIds see {@link findUserIds}
 * @throws (rejects) SupersimError `handler-invalid` for a relative path, or for an unknown or unusable user
 */
export async function programHandler(name: string, config: ProgramConfig, findIds = findUserIds): Promise<Handler> {
  const [file = '', ...args] = config.program;
  if (!isAbsolute(file))
    throw new SupersimError('handler-invalid', `the program of ${name} must have an absolute path, not ${file}`);
  const ids = config.user === undefined ? undefined : await findIds(config.user);
  return {
    ...configuredHandler(name, config),
    async run(params, context) {
      const finished = await runProcess({
        file: await beforeStart(() => resolveProgram(file)),
        argv0: file,
        args,
        directory: config.directory,
        environment: { ...ownEnvironment(config.environment), ...commandEnvironment(params, context) },
        ids,
        input: writeInput(params),
        outputBytes: config.outputBytes,
        signal: context.signal,
        deadline: context.command.deadline,
      });
      if (finished.code !== 0) throw new Error(explainFailure(finished));
      return readOutput(finished.stdout, finished.stdoutTotal, params instanceof Uint8Array);
    },
  };
}

/**
 * Runs a configured program without input and output.
 *
 * @throws (rejects) NotStartedError; Error when it exits with a non-zero code
 */
export async function runOwnProgram(file: string, args: readonly string[], signal: AbortSignal): Promise<void> {
  const finished = await runProcess({
    file: await beforeStart(() => resolveProgram(file)),
    argv0: file,
    args,
    directory: '/',
    environment: ownEnvironment(['PATH']),
    ids: undefined,
    input: '',
    outputBytes: 0,
    signal,
  });
  if (finished.code !== 0) throw new Error(explainFailure(finished));
}

/**
 * Checks a program without running it. Whether another user may run it shows only when it runs.
 *
 * @throws (rejects) SupersimError `handler-invalid`, `program-unsafe`
 */
export async function checkRunnable(
  { program: [file = ''], directory, user }: ProgramConfig,
  known?: KnownPlaces,
): Promise<void> {
  const real = await resolveProgram(file, undefined, known);
  const folder = await stat(directory).catch(() => undefined);
  if (!folder?.isDirectory())
    throw new SupersimError('handler-invalid', `its working directory ${directory} does not exist`);
  if (user !== undefined) return;
  await access(real, constants.X_OK).catch((error: unknown) => {
    throw new SupersimError('handler-invalid', `${file} is not executable: ${messageOf(error)}`, { cause: error });
  });
}

/** As much of a file as Linux looks at before it executes it (BINPRM_BUF_SIZE). */
const HEAD_BYTES = 256;
const ELF = Buffer.from('\x7fELF');

/**
 * Tells by its beginning whether Linux executes a file: a script whose first line names its interpreter and is not too
 * long, or a binary with a class, a byte order and a version (elf(5)).
 */
function isExecutable(head: Buffer): boolean {
  if (head.indexOf(ELF) === 0) return [1, 2].includes(head[4] ?? 0) && [1, 2].includes(head[5] ?? 0) && head[6] === 1;
  const text = head.toString('latin1');
  return /^#![ \t]*\S/.test(text) && (text.includes('\n') || head.length < HEAD_BYTES);
}

/**
 * Resolves the path of a program, and checks that the system can execute the file. Node would start what it cannot by
 * execvp(3), which has /bin/sh run it, whatever is in it.
 *
 * @returns its real path
 * @throws (rejects) SupersimError `handler-invalid`, `program-unsafe`
 */
export async function resolveProgram(file: string, uid?: number, known?: KnownPlaces): Promise<string> {
  const real = await resolveSafeFile(file, uid, known);
  const head = await readHead(real);
  if (head !== undefined && process.platform === 'linux' && !isExecutable(head)) {
    throw new SupersimError('handler-invalid', `${file} is neither a script nor a binary of Linux`, {
      remedy: 'Have its first line name the interpreter of the script, such as `#!/bin/sh`.',
    });
  }
  return real;
}

/** @returns undefined where the file may not be read; a binary may be executed all the same */
async function readHead(file: string): Promise<Buffer | undefined> {
  // Some files of /proc pass for ordinary ones, and their reader waits.
  const opened = await open(file, constants.O_RDONLY | constants.O_NONBLOCK).catch(() => undefined);
  if (opened === undefined) return undefined;
  try {
    const { buffer, bytesRead } = await opened.read({ buffer: Buffer.alloc(HEAD_BYTES) });
    return buffer.subarray(0, bytesRead);
  } catch {
    return undefined;
  } finally {
    await opened.close();
  }
}

/** `NAME` passes on the agent's variable, `NAME=value` sets one. */
function ownEnvironment(entries: readonly string[]): Record<string, string> {
  const pairs = entries.map((entry): [string, string | undefined] => {
    const [name = '', ...value] = entry.split('=');
    return [name, value.length === 0 ? process.env[name] : value.join('=')];
  });
  return Object.fromEntries(pairs.filter((pair): pair is [string, string] => pair[1] !== undefined));
}

function commandEnvironment(params: unknown, { command, deviceId }: HandlerContext): Record<string, string> {
  const environment: Record<string, string> = {
    SUPERSIM_COMMAND: command.name,
    SUPERSIM_FORMAT: command.format,
    SUPERSIM_PEER: command.peer,
    SUPERSIM_DEVICE_ID: deviceId,
  };
  if (command.id !== undefined && command.id !== null) environment['SUPERSIM_ID'] = withoutNul(String(command.id));
  if (params instanceof Uint8Array) return environment;
  const set = (variable: string, value: unknown) => {
    if (['string', 'number', 'boolean', 'bigint'].includes(typeof value))
      environment[variable] = withoutNul(String(value));
  };
  for (const [name, value] of Object.entries(Object(params))) set(`SUPERSIM_PARAM_${variablePart(name)}`, value);
  for (const [index, value] of command.params.positional.entries()) set(`SUPERSIM_ARG_${index + 1}`, value);
  return environment;
}

const variablePart = (name: string) => name.toUpperCase().replaceAll(/[^A-Z0-9]/g, '_');

/** Node rejects NUL in a variable. */
const withoutNul = (value: string) => value.replaceAll('\0', '');

function explainFailure({ code, killedBy, stderr }: ProcessResult): string {
  const how = killedBy === undefined ? `the program exited with code ${code}` : `the program was killed by ${killedBy}`;
  const tail = utf8Tail(stderr, ERROR_TAIL_BYTES).trim();
  return tail === '' ? how : `${how}: ${tail}`;
}
