import { isUtf8 } from 'node:buffer';
import type { CommandModule } from 'yargs';
import { printable } from '../../shared/cli.js';
import { type Command, FORMATS, type Reply } from '../../shared/command.js';
import { messageOf, SupersimError } from '../../shared/errors.js';
import { paramsFromWords } from '../../shared/format/text.js';
import { encodableReply, encodeAnswers } from '../command/codec/encode.js';
import { createRunner } from '../command/runner/runner.js';
import { configFromFlags, configOptions, type RunFlags } from '../config/flags.js';
import { loadHandlers } from '../handlers/load.js';
import { createLogger } from './run/logger.js';

type TryFlags = RunFlags & {
  name?: string | undefined;
  params?: string[] | undefined;
  /** The name `try`, and the words after `--`. */
  _?: (string | number)[];
};

export const tryCommand: CommandModule<unknown, TryFlags> = {
  command: 'try <name> [params..]',
  describe: 'Run a handler locally and show its reply in each format',
  builder: (yargs) =>
    yargs
      .options(configOptions)
      .positional('name', { type: 'string', describe: 'Name of the command' })
      .positional('params', { type: 'string', array: true, describe: 'Parameters: value or key=value' })
      .parserConfiguration({ 'parse-positional-numbers': false }),
  async handler(flags) {
    const started = performance.now();
    const reply = await runOnce(flags);
    const elapsed = `${(performance.now() - started).toFixed(1)} ms`;
    process.stdout.write('error' in reply ? `${reply.error.code} after ${elapsed}\n` : `done after ${elapsed}\n`);
    for (const format of FORMATS) process.stdout.write(`${describeReply(format, reply)}\n`);
    // A module may have left timers or sockets open.
    process.exit('error' in reply ? 1 : 0);
  },
};

async function runOnce({ name = '', params: words = [], _: [, ...more] = [], ...flags }: TryFlags): Promise<Reply> {
  const config = await configFromFlags(flags);
  const { log, flushSync } = await createLogger('warn', process.stderr);
  process.once('exit', flushSync);
  const { registry } = await loadHandlers(config, [], log);
  const handler = registry.get(name);
  if (handler === undefined) {
    throw new SupersimError('unknown-command', `unknown command ${name}`, {
      remedy: `Known commands: ${[...registry.keys()].join(', ')}.`,
    });
  }
  const params = readParams([...words, ...more.map(String)]);
  const bound = handler.bind(params, true);
  if ('error' in bound) return bound;
  const command: Command = { id: 'try', name, params, format: 'text', peer: 'local' };
  const emit = async (...event: unknown[]) => log.warn({ event }, 'event not sent: the handler runs locally');
  const runner = createRunner(config.limits, { deviceId: config.device.id, log, emit });
  // The default action would leave the process group of a program running.
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => void runner.stop(0));
  const reply = await new Promise<Reply>((done) =>
    runner.submit({ command, holder: 'local', handler, params: bound.value, bytes: 0, done }),
  );
  await runner.stop(0);
  return reply;
}

function readParams(words: readonly string[]) {
  try {
    return paramsFromWords(words);
  } catch (error) {
    throw new SupersimError('bad-input', messageOf(error), { cause: error });
  }
}

/** Returns a line with the format, the reply's size, and the reply, in hexadecimal unless it is text. */
function describeReply(format: (typeof FORMATS)[number], reply: Reply): string {
  const answer = { id: 'try', reply: encodableReply(format, { id: 'try', reply }) };
  const encoded = encodeAnswers(format, [answer], false);
  if (encoded === undefined)
    return `${format.padEnd(5)}  no reply${'error' in answer.reply ? `: ${answer.reply.error.message}` : ''}`;
  const bytes = Buffer.from(encoded);
  const shown = format !== 'cbor' && isUtf8(bytes) ? printable(bytes.toString()) : bytes.toString('hex');
  return `${format.padEnd(5)}${String(bytes.length).padStart(6)} bytes  ${shown}`;
}
