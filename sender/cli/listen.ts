import { setTimeout as delay } from 'node:timers/promises';
import type { CommandModule } from 'yargs';
import * as z from 'zod';
import { checkInput } from '../../shared/check-input.js';
import { printable } from '../../shared/cli.js';
import { durationSchema, milliseconds } from '../../shared/duration.js';
import { messageOf } from '../../shared/errors.js';
import { payloadBytes } from '../../shared/ip-command.js';
import { loadWebhookSecrets } from '../api/credentials.js';
import { realIo } from '../api/http.js';
import { type DeviceEvent, eventOfCallback, eventOfCommand, simNamesOf } from '../listen/event.js';
import { createForwarder, type ForwardResult } from '../listen/forward.js';
import { formatJson, formatLine } from '../listen/print.js';
import { createWebhookProbe } from '../listen/probe.js';
import { openWebhookServer } from '../listen/server.js';
import { watchCommands } from '../replies/watch.js';
import type { OpenDatagram } from '../security/events.js';
import { openSecurity } from '../security/security.js';
import { createWebhookReceiver } from '../webhooks/receiver.js';
import { EXIT } from './exit.js';
import { type CliIo, print, processIo } from './io.js';
import { commonOptions, commonSchema, openClient } from './options.js';
import { untilInterrupted } from './until-interrupted.js';

const DEFAULT_ADDRESS = '127.0.0.1';
const DEFAULT_PORT = 3000;
const DEFAULT_INTERVAL = '5s';
/** How long the command waits at its end for events that are still to be forwarded. */
const GRACE_MS = 5000;
/** Warnings of one kind are printed once in this time, with their number. */
const WARNING_INTERVAL_MS = 60_000;

const webUrl = z.url({ protocol: /^https?$/ });

const argsSchema = commonSchema.extend({
  forwardTo: webUrl.optional(),
  address: z.union([z.ipv4(), z.ipv6()]).default(DEFAULT_ADDRESS),
  port: z.int().min(0).max(65_535).default(DEFAULT_PORT),
  publicUrl: webUrl.optional(),
  poll: z.boolean().default(false),
  interval: durationSchema('1s', '1h').default(DEFAULT_INTERVAL),
});

type ListenArgs = z.output<typeof argsSchema>;

export const listenCommand: CommandModule<object, object> = {
  command: 'listen',
  describe: 'Receive webhooks, print their events, and forward them to your server',
  builder: (yargs) =>
    yargs
      .options({
        'forward-to': {
          type: 'string',
          requiresArg: true,
          describe: 'URL to which each event is posted, decoded, as JSON',
        },
        'public-url': {
          type: 'string',
          requiresArg: true,
          describe: 'URL that the vendor calls, where a proxy or a tunnel is in front',
        },
        address: { type: 'string', requiresArg: true, describe: `Address to listen on; default: ${DEFAULT_ADDRESS}` },
        port: { type: 'number', requiresArg: true, describe: `Port to listen on; default: ${DEFAULT_PORT}` },
        poll: {
          type: 'boolean',
          describe: 'Poll the list of commands instead: shows what devices send without webhooks',
        },
        interval: {
          type: 'string',
          requiresArg: true,
          describe: `With --poll: time between two polls, from 1s to 1h; default: ${DEFAULT_INTERVAL}`,
        },
        ...commonOptions,
      })
      .conflicts('poll', ['public-url', 'address', 'port'])
      .implies('interval', 'poll')
      .example('$0 listen --public-url https://hooks.example.com/ --forward-to http://127.0.0.1:8000/supersim', '')
      .example('$0 listen --poll --json', 'Works where the vendor cannot reach this machine'),
  handler: (argv) =>
    untilInterrupted(async (signal) => {
      process.exitCode = await listen(argv, processIo(), signal);
    }),
};

/**
 * `supersim listen`, until the signal is aborted.
 *
 * @returns the exit code
 */
export async function listen(argv: unknown, io: CliIo, signal: AbortSignal): Promise<number> {
  const args = checkInput(argsSchema, argv, 'the arguments');
  const show = (event: DeviceEvent, forwarded?: ForwardResult) =>
    print(io.stdout, args.json ? formatJson(event, forwarded) : formatLine(event, forwarded));
  const forwarder =
    args.forwardTo === undefined
      ? undefined
      : createForwarder({ url: new URL(args.forwardTo), io: { ...realIo, fetch, sleep: io.sleep }, onDone: show });
  const warn = (message: string) => void io.stderr.write(`warning: ${printable(message)}\n`);
  const security = openSecurity({ profile: args.profile, env: io.env });
  security.check();
  const sink: EventSink = {
    onEvent: forwarder?.push ?? show,
    openDatagram: withRepeatsReported(security.openDatagram, warn),
    warn,
  };
  try {
    await (args.poll ? poll(args, io, signal, sink) : receive(args, io, signal, sink));
  } finally {
    security.close();
  }
  const lost = (await forwarder?.stop(GRACE_MS)) ?? 0;
  if (lost === 0) return EXIT.ok;
  await print(io.stderr, `warning: ${lost} events were not forwarded`);
  return EXIT.error;
}

/** Where events go, and what opens them. */
interface EventSink {
  readonly onEvent: (event: DeviceEvent) => Promise<void>;
  readonly openDatagram: OpenDatagram;
  readonly warn: (message: string) => void;
}

async function receive(args: ListenArgs, io: CliIo, signal: AbortSignal, sink: EventSink): Promise<void> {
  const { onEvent, openDatagram, warn } = sink;
  const secrets = await loadWebhookSecrets({ profile: args.profile }, io.env);
  const probe = createWebhookProbe(secrets);
  const receiver = createWebhookReceiver({
    ...secrets,
    publicUrl: args.publicUrl,
    security: { openDatagram },
    async onCallback(callback) {
      if (!probe.matches(callback)) await onEvent(eventOfCallback(callback));
    },
    onError: (error) => warn(messageOf(error)),
  });
  const warnRarely = rarely(warn);
  const server = await openWebhookServer(receiver, args, (status, reason) =>
    warnRarely(`${status}`, `refused with HTTP ${status}: ${reason}`),
  );
  try {
    const url = args.publicUrl ?? server.url;
    await print(io.stderr, `listening on ${server.url}`);
    await probe.send(url, signal);
    await print(io.stderr, `ready: receiving webhooks at ${url}; Ctrl-C stops`);
    await aborted(signal);
  } catch (error) {
    if (!signal.aborted) throw error;
  } finally {
    await server.close();
    await Promise.race([receiver.settled(), delay(GRACE_MS, undefined, { ref: false })]);
  }
}

async function poll(args: ListenArgs, io: CliIo, signal: AbortSignal, sink: EventSink): Promise<void> {
  const client = await openClient({ profile: args.profile, signal }, io);
  const commands = watchCommands(client, {
    interval: milliseconds(args.interval),
    signal,
    sleep: io.sleep,
    ready: () => io.stderr.write('ready: polling for what devices send from now on; Ctrl-C stops\n'),
    warn: sink.warn,
  });
  for await (const command of commands) {
    const opened = sink.openDatagram(simNamesOf(command), payloadBytes(command), 'record');
    if (opened.kind !== 'repeat') await sink.onEvent(eventOfCommand(command, opened));
  }
}

/** Counts repeats, which are not shown. */
function withRepeatsReported(openDatagram: OpenDatagram, warn: (message: string) => void): OpenDatagram {
  const warnRarely = rarely(warn);
  return (names, bytes, use) => {
    const opened = openDatagram(names, bytes, use);
    if (opened.kind === 'repeat') {
      const sim = names.uniqueName ?? names.sid ?? names.iccid ?? 'a SIM';
      warnRarely('repeat', `an event of ${sim} that was reported before came again, and is not shown`);
    }
    return opened;
  };
}

/** Passes on a warning of one kind at most once in {@link WARNING_INTERVAL_MS}, with the number of those between. */
function rarely(warn: (message: string) => void) {
  const reported = new Map<string, { at: number; more: number }>();
  return (kind: string, message: string) => {
    const now = performance.now();
    const last = reported.get(kind);
    if (last !== undefined && now - last.at < WARNING_INTERVAL_MS) {
      last.more++;
      return;
    }
    const more = last === undefined || last.more === 0 ? '' : ` (and ${last.more} more before)`;
    reported.set(kind, { at: now, more: 0 });
    warn(`${message}${more}`);
  };
}

const aborted = (signal: AbortSignal) =>
  new Promise<void>((resolve) => {
    if (signal.aborted) resolve();
    signal.addEventListener('abort', () => resolve(), { once: true });
  });
