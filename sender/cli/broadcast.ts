import type { CommandModule } from 'yargs';
import { milliseconds } from '../../shared/duration.js';
import { OUTCOMES } from '../../shared/outcome.js';
import { accountReplies } from '../account-replies.js';
import { runBroadcast } from '../broadcast/resume.js';
import type { BroadcastState } from '../broadcast/state.js';
import type { IpCommandClient } from '../client.js';
import { checkInput } from '../input.js';
import { openBroadcast } from './broadcast-file.js';
import { type BroadcastArgs, broadcastOptions, broadcastSchema } from './broadcast-options.js';
import { createResultPrinter } from './broadcast-results.js';
import { EXIT, EXIT_BY_OUTCOME } from './exit.js';
import { type CliIo, print, processIo } from './io.js';
import { openClient } from './options.js';
import { createProgress } from './progress.js';
import { untilInterrupted } from './until-interrupted.js';

export const broadcastCommand: CommandModule<object, object> = {
  command: 'broadcast [name] [words..]',
  describe: 'Run a command on many SIMs’ devices, and tell what came of it on each',
  builder: (yargs) =>
    yargs
      .positional('name', { type: 'string', describe: 'The command, such as ping or relay.set' })
      .positional('words', { type: 'string', array: true, describe: 'Its parameters: value or key=value' })
      .parserConfiguration({ 'populate--': true, 'parse-positional-numbers': false })
      .options(broadcastOptions)
      .conflicts({ file: ['fleet', 'resume'], fleet: 'resume', resume: ['name', 'state'] })
      .example(
        '$0 broadcast --file sims.csv firmware.update --canary 1% > results.csv',
        'The exit code is 0 if all are done',
      )
      .example('$0 broadcast --resume broadcast-20260301-120000.db', 'After Ctrl-C or a crash'),
  handler: (argv) =>
    untilInterrupted(async (signal) => {
      process.exitCode = await broadcast(argv, processIo(), signal);
    }),
};

export interface BroadcastCliOptions {
  readonly timeScale?: number | undefined;
}

/**
 * `supersim broadcast`, until its end or until the signal is aborted. What is printed holds all SIMs that have ended,
 * also those of earlier processes.
 *
 * @returns the exit code
 */
export async function broadcast(
  argv: unknown,
  io: CliIo,
  signal: AbortSignal,
  { timeScale }: BroadcastCliOptions = {},
): Promise<number> {
  const args = checkInput(broadcastSchema, argv, 'the arguments');
  const client = await openClient({ profile: args.profile }, io);
  const { path, state } = await openBroadcast(args, client, io);
  try {
    const { waiting } = state.counts();
    await print(io.stderr, `${state.total} SIMs, ${waiting} to ask; to go on after an end: --resume ${path}`);
    return await run(args, client, state, io, { signal, timeScale });
  } finally {
    await state.close();
  }
}

async function run(
  args: BroadcastArgs,
  client: IpCommandClient,
  state: BroadcastState,
  { stdout, stderr, sleep }: CliIo,
  { signal, timeScale }: BroadcastCliOptions & { readonly signal: AbortSignal },
): Promise<number> {
  const { waiting: _, ...counts } = state.counts();
  const show = createResultPrinter(args.json, stdout);
  for (const row of state.ended()) await show.row(row);
  const progress = createProgress(counts, state.total, stderr);
  const results = runBroadcast(state, {
    client,
    replies: accountReplies(client, { interval: milliseconds(args.interval), sleep }),
    concurrency: args.concurrency,
    rate: args.rate,
    timeout: `${milliseconds(args.timeout)}ms`,
    canary: args.canary === undefined ? undefined : { share: args.canary, abortAbove: args.abortAbove },
    signal,
    timeScale,
  });
  try {
    for await (const result of results) {
      counts[result.outcome]++;
      await show.result(result);
      progress.update();
    }
  } catch (error) {
    if (!signal.aborted) throw error;
  } finally {
    progress.end();
  }
  await print(stderr, OUTCOMES.map((outcome) => `${counts[outcome]} ${outcome}`).join(', '));
  if (signal.aborted) return EXIT.interrupted;
  return counts.done === state.total ? EXIT.ok : EXIT_BY_OUTCOME.failed;
}
