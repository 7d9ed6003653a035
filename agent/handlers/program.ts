import { isUtf8 } from 'node:buffer';
import { access, constants, stat } from 'node:fs/promises';
import { isAbsolute } from 'node:path';
import { milliseconds } from '../../shared/duration.js';
import { messageOf, SupersimError } from '../../shared/errors.js';
import { cutMark, utf8Tail } from '../../shared/format/cut.js';
import type { ProgramConfig } from '../config/schema.js';
import { checkedPath } from './file-safety.js';
import type { Handler, HandlerContext } from './handler.js';
import { bindAny } from './params.js';
import { type Finished, runProcess } from './process.js';
import { lookUpUser } from './user.js';

/** How much of a failed program's stderr goes back to the caller. */
const STDERR_TAIL_BYTES = 400;

/**
 * A handler that runs a program: no shell; the parameters as JSON on its stdin and as variables, `SUPERSIM_PARAM_NAME` or `SUPERSIM_ARG_1`;
 * its stdout is the reply, and an exit code other than 0 a failure with the end of its stderr. From a raw port it gets
 * the datagram's bytes on its stdin, and what it writes goes back byte for byte.
 *
 * @throws SupersimError `handler-invalid` for a relative path, or a user that is not there or cannot be taken on
 */
export async function programHandler(name: string, config: ProgramConfig): Promise<Handler> {
  const [file = '', ...args] = config.program;
  if (!isAbsolute(file))
    throw new SupersimError('handler-invalid', `the program of ${name} must have an absolute path, not ${file}`);
  const ids = config.user === undefined ? undefined : await lookUpUser(config.user);
  return {
    name,
    description: config.description,
    safe: config.safe,
    idempotent: config.idempotent || config.safe,
    timeoutMs: milliseconds(config.timeout),
    usage: '[anything]',
    bind: bindAny,
    async run(params, context) {
      const finished = await runProcess({
        file: await checkedPath(file),
        calledAs: file,
        args,
        directory: config.directory,
        environment: { ...ownEnvironment(config.environment), ...commandEnvironment(params, context) },
        ids,
        input: params instanceof Uint8Array ? params : `${JSON.stringify(params, asJson)}\n`,
        outputBytes: config.outputBytes,
        signal: context.signal,
      });
      if (finished.code !== 0) throw new Error(explainFailure(finished));
      return params instanceof Uint8Array ? rawOutput(finished) : readOutput(finished.stdout, finished.stdoutTotal);
    },
  };
}

/**
 * Runs one of the configuration's own programs, which takes no input and gives no output.
 *
 * @throws Error when it cannot be run, or ends with a code other than 0; SupersimError `program-unsafe`
 */
export async function runOwnProgram(file: string, args: readonly string[], signal: AbortSignal): Promise<void> {
  const finished = await runProcess({
    file: await checkedPath(file),
    calledAs: file,
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
 * Checks what can be checked of a program without running it. Whether another user may run it is seen when it runs.
 *
 * @throws SupersimError `handler-invalid`, `program-unsafe`
 */
export async function checkRunnable({ program: [file = ''], directory, user }: ProgramConfig): Promise<void> {
  const real = await checkedPath(file);
  if (!(await stat(real)).isFile()) throw new SupersimError('handler-invalid', `${file} is no file`);
  const folder = await stat(directory).catch(() => undefined);
  if (!folder?.isDirectory())
    throw new SupersimError('handler-invalid', `there is no folder ${directory} to run it in`);
  if (user !== undefined) return;
  await access(real, constants.X_OK).catch((error: unknown) => {
    throw new SupersimError('handler-invalid', `${file} may not be run: ${messageOf(error)}`, { cause: error });
  });
}

/** What CBOR has and JSON does not. */
function asJson(_key: string, value: unknown): unknown {
  if (typeof value === 'bigint') return String(value);
  return value instanceof Uint8Array ? { base64: Buffer.from(value).toString('base64') } : value;
}

/** `NAME` hands on the agent's variable, `NAME=value` sets one. */
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

/** A variable ends at its first NUL, and Node refuses one inside. */
const withoutNul = (value: string) => value.replaceAll('\0', '');

function rawOutput({ stdout, stdoutTotal }: Finished): Buffer {
  if (stdoutTotal > stdout.length) throw new Error(`the program wrote ${stdoutTotal} bytes, too many for a raw reply`);
  return stdout;
}

/** UTF-8 becomes a string without its last line break, anything else stays bytes; what was cut says so. */
function readOutput(kept: Buffer, total: number): string | Buffer {
  const mark = total > kept.length ? cutMark(total) : '';
  const whole = trimToCharacter(kept, mark !== '');
  if (isUtf8(whole)) return whole.toString().replace(/\r?\n$/, '') + mark;
  return mark === '' ? kept : Buffer.concat([kept, Buffer.from(mark)]);
}

/** Leaves out the last few bytes of a cut text when they are a character's beginning. */
function trimToCharacter(bytes: Buffer, cut: boolean): Buffer {
  for (let drop = 0; cut && drop < 4; drop++) {
    const shorter = bytes.subarray(0, bytes.length - drop);
    if (isUtf8(shorter)) return shorter;
  }
  return bytes;
}

function explainFailure({ code, killedBy, stderr }: Finished): string {
  const how = killedBy === undefined ? `the program ended with code ${code}` : `the program was ended by ${killedBy}`;
  const tail = utf8Tail(stderr, STDERR_TAIL_BYTES).trim();
  return tail === '' ? how : `${how}: ${tail}`;
}
