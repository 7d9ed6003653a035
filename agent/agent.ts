import { milliseconds } from '../shared/duration.js';
import { messageOf, SupersimError } from '../shared/errors.js';
import { toJson } from '../shared/format/value.js';
import { MAX_PAYLOAD_BYTES } from '../shared/limits.js';
import { createClockCheck } from './base/clock-sync.js';
import { type Log, silentLog } from './base/log.js';
import { describeSecurity } from './command/authorize.js';
import { type JournalCommands, journalCommands } from './command/journal/commands.js';
import type { Journal } from './command/journal/types.js';
import { createDelivery, type Delivery, type DeliveryState } from './command/outbox/delivery.js';
import { createPipeline, type Pipeline } from './command/pipeline.js';
import { recoverCommands } from './command/recover.js';
import { createDeadlineJudge } from './command/runner/deadline.js';
import { createDeadlineGate } from './command/runner/deadline-gate.js';
import { createRunner } from './command/runner/runner.js';
import { openState, type State } from './command/state.js';
import { createCounters } from './command/stats/counters.js';
import { createMeters, type Meters, observe } from './command/stats/meters.js';
import { createRecent } from './command/stats/recent.js';
import { resolveConfig } from './config/load.js';
import type { Config, ConfigInput } from './config/schema.js';
import type { Emit, HandlerDefinition } from './handlers/handler.js';
import { loadHandlers } from './handlers/load.js';
import type { Live, Reloaded, TakeUp } from './reload.js';
import type { AgentStatus } from './status.js';
import { createTransport, type Links } from './transport/links/links.js';
import { type Datagram, formatEndpoint, type ModemConsole, wallTime } from './transport/transport.js';

/** How often the kernel is asked whether it had to throw datagrams away. */
const DROPS_INTERVAL_MS = 60_000;
/** How often what is old in the journal is forgotten, and what could not be written is written. */
const MAINTENANCE_INTERVAL_MS = 60_000;
/** The probe's own place: it never waits, and no command can take it. */
const PROBE_LIMITS = { running: 1, waiting: 0, waitingBytes: 0 };

export interface AgentOptions {
  /** As in the configuration file. */
  readonly config?: ConfigInput;
  /** Handlers besides the built-in and the configured ones. */
  readonly handlers?: readonly HandlerDefinition[];
  /** Where the agent logs; nowhere by default. A pino logger fits. */
  readonly log?: Log;
  /** Aborting it stops the agent. */
  readonly signal?: AbortSignal;
}

export interface Agent {
  /** The one that is in force. */
  readonly config: Config;
  /**
   * Loads the handlers and listens. Having no link yet is no error. An agent starts once.
   *
   * @throws SupersimError `port-in-use`, `port-forbidden`, `handler-invalid`, `state-in-use`
   */
  start(): Promise<void>;
  /** Lets in nothing more, waits for what runs (`limits.stop` at most), sends its replies. Can be called again. */
  stop(): Promise<void>;
  /**
   * Takes up another configuration, as a whole or not at all, and loses no datagram; what runs or waits keeps what it
   * came in with. The result names the settings that have other values now, and those whose new values need a restart.
   * Modules that have changed are loaded anew; the handlers of {@link AgentOptions} stay, and so does the level of its
   * log, which is the embedding program's. Waits for the start, and for other reloads.
   *
   * @throws SupersimError `config-invalid`; `handler-invalid` when any handler cannot be used; `port-in-use` and
   * `port-forbidden` when UDP is to be used again; `busy` when the agent does not run. Then nothing has changed.
   */
  reload(config: ConfigInput): Promise<Reloaded>;
  readonly emit: Emit;
  /**
   * The same, for the control socket: tells where the event is.
   *
   * @throws (rejects) SupersimError as `emit` does
   */
  dispatch(event: string | Uint8Array, data?: unknown): Promise<DeliveryState>;
  status(): AgentStatus;
  /** What is measured for metrics. */
  readonly meters: Meters;
  /** The commands of the journal, for the control socket; undefined before the start, and where there is none. */
  commands(): JournalCommands | undefined;
  /**
   * Sends a `ping` through the pipeline, past the transport. It waits for no command, and no trace of it is left. Resolves
   * when its reply is there, be that never.
   *
   * @throws (rejects) SupersimError `probe-failed`
   */
  probe(): Promise<void>;
  /** The modem that is used, for the control socket; undefined before the start, and where there is none. */
  modem(): ModemConsole | undefined;
}

/**
 * Makes an agent: what `supersim-agent run` runs, for another program to embed.
 *
 * @throws SupersimError `config-invalid`
 */
export function createAgent(options: AgentOptions = {}): Agent {
  return agentWith(resolveConfig(options.config), options);
}

/** The same, with a configuration that has been checked. */
export function agentWith(config: Config, options: Omit<AgentOptions, 'config'>): Agent {
  const current = { config };
  const { handlers = [] } = options;
  const log = options.log ?? silentLog;
  const counters = createCounters();
  const meters = createMeters();
  const { id: deviceId } = config.device;
  const ports = config.listen.ports.map(({ port }) => port);
  const last = createRecent();
  const surroundings = { deviceId, log, emit };
  const ran = (handler: string, ms: number) => observe(meters.handler(handler).runs, ms);
  const runner = createRunner(config.limits, { ...surroundings, ran });
  const probeRunner = createRunner(PROBE_LIMITS, surroundings);
  const clockSynchronized = createClockCheck();
  const unsynchronized = () => current.config.deadline.unsynchronized;
  const launch = createDeadlineGate(runner, createDeadlineJudge(clockSynchronized, unsynchronized));
  let admitting = false;
  let dropsTimer: NodeJS.Timeout | undefined;
  let maintenance: NodeJS.Timeout | undefined;
  let dropsLogged = 0;
  let transport: Links | undefined;
  let state: State | undefined;
  let delivery: Delivery | undefined;
  let pipeline: Pipeline | undefined;
  let starting: Promise<void> | undefined;
  let live: Live | undefined;
  let takeUp: TakeUp | undefined;
  let stopped: Promise<void> | undefined;
  const stopOnAbort = () => void stop();

  async function emit(event: string | Uint8Array, data?: unknown): Promise<void> {
    await dispatch(event, data);
  }

  async function dispatch(event: string | Uint8Array, data?: unknown): Promise<DeliveryState> {
    const bytes = typeof event === 'string' ? Buffer.from(toJson({ event, data })) : event;
    const most = transport?.maxBytes() ?? MAX_PAYLOAD_BYTES;
    if (bytes.length > most) {
      throw new SupersimError('too-large', `the event has ${bytes.length} bytes; ${most} can leave`, {
        remedy: 'Send less of it, or several events.',
      });
    }
    const { send } = delivery ?? {};
    if (send === undefined) {
      counters.unsent++;
      throw new SupersimError('link-down', 'the agent does not run');
    }
    const outgoing = { bytes, destination: config.gateway, port: ports[0] ?? 0, kind: 'event' } as const;
    const where = await new Promise<DeliveryState>((resolve, reject) => {
      send(outgoing, (error, found = 'sent') => (error === undefined ? resolve(found) : reject(error)));
    });
    log.info(
      { event: typeof event === 'string' ? event : undefined, bytes: bytes.length, transport: transport?.name },
      'event',
    );
    return where === 'on-disk' && state?.database.persistent === false ? 'in-memory' : where;
  }

  async function start(): Promise<void> {
    options.signal?.throwIfAborted();
    if (starting !== undefined || stopped !== undefined) throw new Error('an agent starts only once: make another');
    starting = open();
    await starting;
  }

  async function open(): Promise<void> {
    options.signal?.addEventListener('abort', stopOnAbort, { once: true });
    const opened = await createTransport(config, log, meters.transports);
    if (isStopped()) return;
    transport = opened;
    const registry = await loadHandlers(config, handlers, log, clockSynchronized, opened.link);
    if (isStopped()) return;
    meters.know(registry.keys());
    const openedState = await openState(config, log);
    if (isStopped()) {
      openedState?.database.close();
      return;
    }
    state = openedState;
    const { journal, outbox } = state ?? {};
    const known = { counters, last, meters, log };
    delivery = createDelivery({ transport: opened, outbox, keepMs: milliseconds(config.outbox.keep), ...known });
    const { send } = delivery;
    pipeline = createPipeline({ config, registry, launch, journal, send, maxBytes: opened.maxBytes, ...known });
    try {
      await opened.start(receiverOf(pipeline));
    } catch (error) {
      delivery.stop();
      state?.database.close();
      throw error;
    }
    if (isStopped()) return;
    admitting = true;
    dropsTimer = setInterval(logDrops, DROPS_INTERVAL_MS);
    if (journal !== undefined) maintain(journal, pipeline);
    delivery.start();
    live = { current, registry, handlers, transport: opened, pipeline, runner, meters, clockSynchronized, isStopped };
    log.info({ device: deviceId, commands: registry.size }, 'agent started');
    log.warn({ allow: config.allow }, describeSecurity(config.security.unprotected));
  }

  async function reload(input: ConfigInput): Promise<Reloaded> {
    const next = resolveConfig(input);
    await starting;
    const { createReload, notRunning } = await import('./reload.js');
    if (live === undefined || isStopped()) throw notRunning();
    takeUp ??= createReload(live);
    return takeUp(next);
  }

  /** Also while it is starting. */
  const isStopped = () => stopped !== undefined;

  const receiverOf =
    ({ receive }: Pipeline) =>
    (datagram: Datagram) => {
      if (!admitting) return;
      try {
        receive(datagram);
      } catch (error) {
        // A mistake of the agent's own: the next datagram may fare better.
        log.error({ error: messageOf(error), peer: formatEndpoint(datagram.source) }, 'internal error');
      }
    };

  function maintain(journal: Journal, running: Pipeline): void {
    let recovered = recoverCommands(journal, running, log);
    maintenance = setInterval(() => {
      if (!recovered) recovered = recoverCommands(journal, running, log);
      journal.maintain();
    }, MAINTENANCE_INTERVAL_MS);
  }

  function logDrops(): void {
    const drops = transport?.kernelDrops() ?? 0;
    if (drops <= dropsLogged) return;
    log.warn(
      { drops: drops - dropsLogged, inAll: drops },
      'the kernel threw datagrams away: the receive buffer was full',
    );
    dropsLogged = drops;
  }

  function stop(): Promise<void> {
    stopped ??= shutDown();
    return stopped;
  }

  async function shutDown(): Promise<void> {
    admitting = false;
    options.signal?.removeEventListener('abort', stopOnAbort);
    clearInterval(dropsTimer);
    clearInterval(maintenance);
    logDrops();
    await runner.stop(milliseconds(current.config.limits.stop));
    // The ends of commands are told when they are on the disk.
    state?.database.flush();
    pipeline?.stop();
    await transport?.stop();
    delivery?.stop();
    state?.journal.maintain();
    state?.database.close();
    log.info({ ...counters }, 'agent stopped');
  }

  async function probe(): Promise<void> {
    if (pipeline === undefined) throw new SupersimError('probe-failed', 'the agent does not run');
    await pipeline.probe(probeRunner.submit);
  }

  return {
    get config() {
      return current.config;
    },
    start,
    stop,
    reload,
    emit,
    dispatch,
    meters,
    status: () => ({
      address: transport?.address(),
      ports,
      link: transport?.link(),
      security: { authenticated: false, unprotected: current.config.security.unprotected },
      running: runner.running,
      waiting: runner.waiting,
      counters: structuredClone(counters),
      lastCommand: last.command && byWallClock(last.command),
      lastSent: last.sent && byWallClock(last.sent),
      lastRefused: pipeline?.lastRefused() ?? [],
      kernelDrops: transport?.kernelDrops(),
      journal: state && {
        persistent: state.database.persistent,
        damaged: state.database.damaged,
        ...state.journal.size,
      },
      outbox: state && { ...state.outbox.size, drops: { ...state.outbox.drops } },
    }),
    commands: () => state && journalCommands(state.journal, runner),
    probe,
    modem: () => transport?.modem,
  };
}

const byWallClock = <T extends { readonly at: number }>(what: T): T => ({ ...what, at: wallTime(what.at) });
