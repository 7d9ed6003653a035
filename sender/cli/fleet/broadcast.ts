import type { CommandModule } from 'yargs';
import { checkInput } from '../../../shared/check-input.js';
import { printable } from '../../../shared/cli.js';
import { milliseconds } from '../../../shared/duration.js';
import { messageOf } from '../../../shared/errors.js';
import { OUTCOMES } from '../../../shared/outcome.js';
import type { BroadcastOptions } from '../../broadcast/options.js';
import { runBroadcast } from '../../broadcast/resume.js';
import { openSecurity } from '../../security/security.js';
import { EXIT, EXIT_BY_OUTCOME } from '../exit.js';
import { type CliIo, print, processIo } from '../io.js';
import { openClient } from '../options.js';
import { untilInterrupted } from '../until-interrupted.js';
import { type OpenedBroadcast, openBroadcast } from './broadcast-file.js';
import { type BroadcastArgs, broadcastOptions, broadcastSchema, NOT_WITH_RESUME } from './broadcast-options.js';
import { createResultPrinter } from './broadcast-results.js';
import { createProgress } from './progress.js';

export const broadcastCommand: CommandModule<object, object> = {
  command: 'broadcast [name] [words..]',
  describe: 'Run a command on many SIMs’ devices, and print the outcome of each',
  builder: (yargs) =>
    yargs
      .positional('name', { type: 'string', describe: 'The command, such as ping or relay.set' })
      .positional('words', { type: 'string', array: true, describe: 'Its parameters: VALUE or KEY=VALUE' })
      .parserConfiguration({ 'populate--': true, 'parse-positional-numbers': false })
      .options(broadcastOptions)
      .conflicts({ file: 'fleet', resume: NOT_WITH_RESUME })
      .example(
        '$0 broadcast --file sims.csv firmware.update --canary 1% > results.csv',
        'The exit code is 0 if all are done',
      )
      .example('$0 broadcast --resume broadcast-20260301-120000.db', 'Resume after Ctrl-C or a crash'),
  handler: (argv) =>
    untilInterrupted(async (signal) => {
      process.exitCode = await runBroadcastCli(argv, processIo(), signal);
    }),
};

export interface BroadcastCliOptions {
  readonly timeScale?: number | undefined;
}

/**
 * `supersim broadcast`, until its end or until the signal is aborted. The output has all SIMs that have ended, also
 * those of earlier processes.
 *
 * @returns the exit code
 */
export async function runBroadcastCli(
  argv: unknown,
  io: CliIo,
  signal: AbortSignal,
  { timeScale }: BroadcastCliOptions = {},
): Promise<number> {
  const args = checkInput(broadcastSchema, argv, 'the arguments');
  const client = await openClient({ profile: args.profile }, io);
  const security = openSecurity({ profile: args.profile, env: io.env });
  // Before a file is made.
  security.expectOwn();
  const reading = new AbortController();
  const readingSignal = AbortSignal.any([signal, reading.signal]);
  const opened = await openBroadcast(args, client, io, readingSignal).catch((error: unknown) => {
    if (signal.aborted) return undefined;
    throw error;
  });
  if (opened === undefined) return EXIT.interrupted;
  const { path, state } = opened;
  try {
    return await run(args, { client, security }, opened, io, { signal, timeScale });
  } finally {
    reading.abort();
    security.close();
    const { waiting } = state.counts();
    if (waiting > 0 || !state.isWhole) {
      const unread = state.isWhole ? '' : ', and the Fleet was not read to its end';
      await print(io.stderr, `${waiting} SIMs are left${unread}; resume with: supersim broadcast --resume ${path}`);
    }
    state.close();
  }
}

async function run(
  args: BroadcastArgs,
  sender: Pick<BroadcastOptions, 'client' | 'security'>,
  { path, state }: OpenedBroadcast,
  { stdout, stderr }: CliIo,
  { signal, timeScale }: BroadcastCliOptions & { readonly signal: AbortSignal },
): Promise<number> {
  const { waiting, ...counts } = state.counts();
  const sims = state.isWhole ? `${state.total} SIMs` : `the Fleet is being read: ${state.total} SIMs so far`;
  await print(stderr, `${sims}, ${waiting} to ask; the outcomes are in ${path}`);
  const show = createResultPrinter(args.json, stdout);
  for (const row of state.ended()) await show.row(row);
  const progress = createProgress(counts, state, stderr);
  const results = runBroadcast(state, {
    ...sender,
    interval: milliseconds(args.interval),
    concurrency: args.concurrency,
    rate: args.rate,
    timeout: `${milliseconds(args.timeout)}ms`,
    withoutCanary: args.canary === false,
    onOutage(error) {
      progress.hide();
      stderr.write(`warning: the API accepts no commands; retrying: ${printable(messageOf(error))}\n`);
    },
    signal,
    timeScale,
  });
  try {
    for await (const result of results) {
      counts[result.outcome]++;
      if (stdout.isTTY === true) progress.hide();
      await show.result(result);
    }
  } catch (error) {
    if (!signal.aborted) throw error;
  } finally {
    progress.end();
    await print(stderr, OUTCOMES.map((outcome) => `${counts[outcome]} ${outcome}`).join(', '));
  }
  if (signal.aborted && (state.counts().waiting > 0 || !state.isWhole)) return EXIT.interrupted;
  return counts.done === state.total ? EXIT.ok : EXIT_BY_OUTCOME.failed;
}
