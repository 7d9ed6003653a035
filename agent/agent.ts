import { raceTimeout } from '../shared/async/with-timeout.js';
import { milliseconds } from '../shared/duration.js';
import { SupersimError } from '../shared/errors.js';
import { toJson } from '../shared/format/value.js';
import { MAX_PAYLOAD_BYTES } from '../shared/limits.js';
import { createClockCheck } from './base/clock-sync.js';
import { type Log, silentLog } from './base/log.js';
import { importLater } from './base/shortage.js';
import { type JournalCommands, journalCommands } from './command/journal/commands.js';
import { createDelivery, type Delivery, type DeliveryState } from './command/outbox/delivery.js';
import { createCarrierCheck } from './command/peers/admit.js';
import { createRates } from './command/peers/rates.js';
import { openState, type State } from './command/persistent-state.js';
import { createPipeline, type Pipeline } from './command/pipeline.js';
import { recoverCommands } from './command/recover.js';
import { createDeadlineJudge } from './command/runner/deadline.js';
import { createDeadlineGate } from './command/runner/deadline-gate.js';
import { createPlaces } from './command/runner/places.js';
import { createRunner } from './command/runner/runner.js';
import type { Meters } from './command/stats/meters.js';
import { createStats, type Stats } from './command/stats/stats.js';
import { resolveConfig } from './config/load.js';
import type { Config, ConfigInput } from './config/schema.js';
import type { HealthSources, JournalHealth } from './handlers/builtin/health.js';
import type { Emit, HandlerDefinition } from './handlers/handler.js';
import { type LoadedHandlers, loadHandlers } from './handlers/load.js';
import { createRulesWatch, type InterfaceStatus, judgeEnforcement } from './packet-filter/enforcement.js';
import type { ApplyConfig, Live, Reloaded } from './reload.js';
import { describeSecurity } from './security/authorize.js';
import type { EventPayload } from './security/event.js';
import type { LoadedKeys } from './security/key-folder.js';
import { createSecurity, type KeySources, readKeys, type Security } from './security/security.js';
import type { AgentStatus } from './status.js';
import type { Database, DatabaseStatus } from './storage/database.js';
import { createLinks, type Links } from './transport/links/links.js';
import { type Datagram, type ModemConsole, wallTime } from './transport/transport.js';

/** Interval between checks of the kernel's count of dropped datagrams. */
const DROPS_INTERVAL_MS = 60_000;
/** Interval at which the journal forgets old entries, and writes those that could not be written. */
const MAINTENANCE_INTERVAL_MS = 60_000;
/** How long a stop waits for the last ends of commands to be on the disk. */
const FLUSH_MS = 5000;
/** The probe has a slot of its own: it never waits, and no command can take it. */
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
  /** The configuration in force. */
  readonly config: Config;
  /**
   * Loads the handlers and listens. Having no link yet is no error, and neither is a disk that does not answer yet; that
   * the state folder is in use is then known later, and commands that need it are refused. An agent starts once.
   *
   * @throws SupersimError `port-in-use`, `port-forbidden`, `handler-invalid`, `state-in-use`
   */
  start(): Promise<void>;
  /**
   * Admits nothing more, waits for running commands (`limits.stop` at most), sends their replies. Can be called again.
   */
  stop(): Promise<void>;
  /**
   * Applies another configuration, as a whole or not at all, and loses no datagram; running and waiting commands keep
   * the configuration that they came with. The result names the settings that have changed, and those whose new values
   * need a restart. Changed modules are loaded anew; the handlers of {@link AgentOptions} stay, and so does the level
   * of its log, which is the embedding program's. Waits for the start, and for other reloads.
   *
   * @throws SupersimError `config-invalid`; `handler-invalid` when any handler cannot be used; `port-in-use` and
   * `port-forbidden` when UDP is to be used again; `busy` when the agent does not run. Then nothing has changed.
   */
  reload(config: ConfigInput): Promise<Reloaded>;
  readonly emit: Emit;
  status(): AgentStatus;
}

/** An agent as the program around it needs it: for the control socket, the metrics and the watchdog. */
export interface ManagedAgent extends Agent {
  /**
   * Sends an event as `emit` does, and returns where it is.
   *
   * @throws (rejects) SupersimError as `emit` does
   */
  dispatch(event: string | Uint8Array, data?: unknown): Promise<DeliveryState>;
  /** The measurements for metrics. */
  readonly meters: Meters;
  /** Returns the commands of the journal; undefined before the start, and without a journal. */
  commands(): JournalCommands | undefined;
  /**
   * Sends a `ping` through the pipeline, past the transport. It waits for no command, and leaves no trace. Resolves
   * when the reply arrives; may never settle.
   *
   * @throws (rejects) SupersimError `probe-failed`
   */
  probe(): Promise<void>;
  /** Whether it has stopped while a thread is in a call to the disk that does not end: then the process cannot exit. */
  readonly isHeldUp: boolean;
  /** Returns the modem in use; undefined before the start, and without a modem. */
  modem(): ModemConsole | undefined;
}

/**
 * Makes an agent: what `supersim-agent run` runs, for another program to embed.
 *
 * @throws SupersimError `config-invalid`
 */
export const createAgent = (options: AgentOptions = {}): Agent =>
  createManagedAgent(resolveConfig(options.config), options);

/** Everything that a started agent consists of. */
interface Parts {
  readonly transport: Links;
  readonly security: Security;
  /** Without a database and an outbox where the SQLite library cannot be loaded. */
  readonly state: Partial<State>;
  readonly delivery: Delivery;
  readonly pipeline: Pipeline;
  /** Stops the timers. */
  readonly stopTimers: () => void;
}

export interface ManagedOptions extends Omit<AgentOptions, 'config'> {
  /** Where keys are, besides the folder that the configuration names. */
  readonly keys?: KeySources;
  /** Draws sequence numbers by the clock although nobody says that it is synchronised: for development. */
  readonly trustsClock?: boolean;
}

/** Makes an agent from a configuration that has been checked. */
export function createManagedAgent(config: Config, options: ManagedOptions): ManagedAgent {
  const current = { config };
  const { handlers = [], log = silentLog } = options;
  const { id: deviceId } = config.device;
  const ports = config.listen.ports.map(({ port }) => port);
  const stats = createStats(log);
  const context = { deviceId, log, emit };
  const rates = createRates(config.limits, createCarrierCheck(config.gateway));
  const runner = createPlaces(config.limits, { ...context, ran: stats.ran, notStarted: stats.notStarted });
  const probeRunner = createRunner(PROBE_LIMITS, context);
  const clockSynchronized = createClockCheck();
  const judge = createDeadlineJudge(clockSynchronized, () => current.config.deadline.unsynchronized);
  const submit = createDeadlineGate(runner, judge);
  let admitting = false;
  let parts: Partial<Parts> = {};
  let starting: Promise<void> | undefined;
  let live: Live | undefined;
  let applyConfig: ApplyConfig | undefined;
  let stopped: Promise<void> | undefined;
  let isHeldUp = false;
  let opening: ReturnType<typeof openState> | undefined;
  const loadedRules = createRulesWatch();
  const stopOnAbort = () => void stop();

  async function emit(event: string | Uint8Array, data?: unknown): Promise<void> {
    await dispatch(event, data);
  }

  async function dispatch(event: string | Uint8Array, data?: unknown): Promise<DeliveryState> {
    const { transport, delivery, state, security } = parts;
    const payload = encodeEvent(event, data);
    if (delivery === undefined || security === undefined) {
      stats.unsent();
      throw new SupersimError('link-down', 'the agent does not run');
    }
    const bytes = await security.protectEvent(payload);
    expectToFit(bytes, transport?.maxBytes() ?? MAX_PAYLOAD_BYTES);
    const outgoing = { bytes, destination: config.gateway, port: ports[0] ?? 0, kind: 'event' } as const;
    const delivered = await new Promise<DeliveryState>((resolve, reject) => {
      delivery.send(outgoing, (error, found = 'sent') => (error === undefined ? resolve(found) : reject(error)));
    });
    const name = typeof event === 'string' ? event : undefined;
    log.info({ event: name, bytes: bytes.length, transport: transport?.name }, 'event');
    return delivered === 'on-disk' && state?.database?.persistent === false ? 'in-memory' : delivered;
  }

  async function start(): Promise<void> {
    options.signal?.throwIfAborted();
    if (starting !== undefined || stopped !== undefined) throw new Error('an agent starts only once: make another');
    starting = open();
    await starting;
  }

  async function open(): Promise<void> {
    options.signal?.addEventListener('abort', stopOnAbort, { once: true });
    // The database is opened meanwhile, by a thread of its own.
    const whenOpened = openState(config, log);
    opening = whenOpened;
    whenOpened.catch(() => undefined);
    const [transport, { registry, checkFiles }, sources, keys] = await prepare().catch(async (error: unknown) => {
      await close(await whenOpened.catch(() => undefined));
      throw error;
    });
    const state: Partial<State> = await whenOpened;
    // What stops it closes what was opened.
    if (isStopped()) return;
    const { journal, outbox, identity } = state;
    const keepMs = milliseconds(config.outbox.keep);
    const delivery = createDelivery({ transport, outbox, keepMs, rates, stats, log });
    const { maxBytes } = transport;
    const { send } = delivery;
    const isSynchronized = options.trustsClock === true ? async () => true : clockSynchronized;
    const security = createSecurity({ config, loaded: keys, sources: options.keys, isSynchronized, log });
    const pipeline = createPipeline({
      ...{ config, registry, submit, journal, identity, send, security, maxBytes, stats, log },
      idleMs: () => performance.eventLoopUtilization().idle,
    });
    parts = { transport, state, delivery, pipeline, security };
    try {
      await transport.start((datagram) => receive(pipeline, datagram));
    } catch (error) {
      delivery.stop();
      await close(state);
      throw error;
    }
    if (isStopped()) return;
    admitting = true;
    const stopDropLog = logKernelDrops(transport, log);
    openSecurity(security, state);
    const stopMaintenance = maintainJournal(state, pipeline, security, log);
    const stopTimers = () => {
      stopDropLog();
      stopMaintenance();
    };
    parts = { ...parts, stopTimers };
    delivery.start();
    const { meters } = stats;
    live = { current, registry, handlers, transport, pipeline, runner, rates, meters, sources, security, isStopped };
    log.info({ device: deviceId, commands: registry.size }, 'agent started');
    logSecurity(security, log);
    void checkFiles(() => !isStopped());
  }

  /** Makes what listens, and what runs commands. */
  async function prepare(): Promise<[Links, LoadedHandlers, HealthSources, LoadedKeys]> {
    const keys = await readKeys(config, options.keys);
    const transport = await createLinks(config, log, stats.meters.transports);
    parts = { transport };
    const journal = () => journalHealth(parts.state);
    const sources = { clockSynchronized, link: transport.link, journal };
    const loaded = await loadHandlers(config, handlers, log, sources);
    stats.meters.know(loaded.registry.keys());
    return [transport, loaded, sources, keys];
  }

  async function reload(input: ConfigInput): Promise<Reloaded> {
    const next = resolveConfig(input);
    await starting;
    const { createReload, notRunning } = await importLater(() => import('./reload.js'));
    if (live === undefined || isStopped()) throw notRunning();
    applyConfig ??= createReload(live);
    return applyConfig(next);
  }

  /** Also while it is starting. */
  const isStopped = () => stopped !== undefined;

  function receive(pipeline: Pipeline, datagram: Datagram): void {
    if (admitting) pipeline.receive(datagram);
  }

  function stop(): Promise<void> {
    stopped ??= shutDown();
    return stopped;
  }

  async function shutDown(): Promise<void> {
    admitting = false;
    options.signal?.removeEventListener('abort', stopOnAbort);
    parts.stopTimers?.();
    const idle = runner.stop(milliseconds(current.config.limits.stop));
    // What was received is answered: it is refused now.
    parts.pipeline?.drain();
    await idle;
    const { state, pipeline, transport, delivery, security } = parts;
    // Replies leave when the ends of their commands are on the disk.
    if (state?.database !== undefined) await flushInTime(state.database);
    pipeline?.stop();
    await transport?.stop();
    delivery?.stop();
    if (security !== undefined) await raceTimeout(FLUSH_MS, security.stop()).catch(holdUp);
    state?.journal?.maintain();
    // A start that is under way may not have come to it yet.
    await close(state ?? (await opening?.catch(() => undefined)));
    log.info({ ...stats.counters }, 'agent stopped');
  }

  function holdUp(): void {
    isHeldUp = true;
  }

  async function close(state: Partial<State> | undefined): Promise<void> {
    if ((await state?.database?.close()) === false) isHeldUp = true;
  }

  function interfaceStatus(): InterfaceStatus | undefined {
    const { rules, changed } = loadedRules();
    const found = parts.transport?.udpPorts(changed);
    return found && judgeEnforcement({ ...found, rules, ports, listens: found.interface });
  }

  async function probe(): Promise<void> {
    if (parts.pipeline === undefined) throw new SupersimError('probe-failed', 'the agent does not run');
    if (runner.isStuck) throw new SupersimError('probe-failed', 'commands wait although a slot is free');
    await Promise.all([parts.pipeline.probe(probeRunner.submit), parts.state?.database?.probe()]);
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
    meters: stats.meters,
    status: () => ({
      ...describeParts(parts),
      ports,
      interface: interfaceStatus(),
      security: parts.security?.status(),
      running: runner.running,
      waiting: runner.waiting,
      ...describeStats(stats),
    }),
    commands: () => parts.state?.journal && journalCommands(parts.state.journal, runner, parts.state.database),
    probe,
    get isHeldUp() {
      return isHeldUp;
    },
    modem: () => parts.transport?.modem,
  };
}

/** @throws SupersimError `bad-reply` */
const encodeEvent = (event: string | Uint8Array, data: unknown): EventPayload =>
  typeof event === 'string'
    ? { bytes: Buffer.from(toJson({ event, data })), isJson: true }
    : { bytes: Buffer.from(event), isJson: false };

/** @throws SupersimError `too-large` */
function expectToFit({ length }: Uint8Array, maxBytes: number): void {
  if (length <= maxBytes) return;
  throw new SupersimError('too-large', `the event has ${length} bytes; ${maxBytes} can leave`, {
    remedy: 'Send less of it, or several events.',
  });
}

/** Logs once a minute how many datagrams the kernel has dropped. @returns a function that logs the rest, and stops */
function logKernelDrops(transport: Links, log: Log): () => void {
  let logged = 0;
  const logNew = () => {
    const drops = transport.kernelDrops() ?? 0;
    if (drops <= logged) return;
    log.warn({ drops: drops - logged, inAll: drops }, 'kernel dropped datagrams: the receive buffer was full');
    logged = drops;
  };
  const timer = setInterval(logNew, DROPS_INTERVAL_MS);
  return () => {
    clearInterval(timer);
    logNew();
  };
}

/** Sequence numbers are drawn once nobody else uses the state folder: while the database is open, or cannot be used at all. */
function openSecurity(security: Security, { database }: Partial<State>): void {
  if (database === undefined) security.open();
  else database.onOpen(({ writable }) => (writable ? security.open() : undefined));
}

function logSecurity(security: Security, log: Log): void {
  const { required, unprotected, keys, problems } = security.status();
  for (const problem of problems) log.error({ problem }, 'key file cannot be used');
  const summary = describeSecurity({ required, unprotected, keys: keys.length });
  if (required) log.info({ keys: keys.map(({ name }) => name) }, summary);
  else log.warn({}, summary);
}

/**
 * Recovers the commands of the previous run as soon as the journal can be used, and then forgets and writes what is due
 * once a minute. @returns a function that stops it
 */
function maintainJournal(
  { journal, database }: Partial<State>,
  pipeline: Pipeline,
  security: Pick<Security, 'whenReady'>,
  log: Log,
): () => void {
  if (journal === undefined || database === undefined) return () => undefined;
  let recovering: Promise<boolean> | undefined;
  let stopped = false;
  // Also where it cannot be opened: what comes must not wait for it.
  void recover();
  database.onOpen(() => void recover());
  const timer = setInterval(() => {
    void recover();
    journal.maintain();
  }, MAINTENANCE_INTERVAL_MS);

  async function recover(): Promise<void> {
    if (stopped || recovering !== undefined || journal === undefined) return;
    // Answers to protected commands of the previous run need sequence numbers.
    const ready = security.whenReady();
    const begin = () => recoverCommands(journal, pipeline, log);
    recovering = ready === undefined ? begin() : ready.then(() => stopped || begin());
    // Once it has succeeded there is nothing left to recover.
    if (!(await recovering)) recovering = undefined;
  }

  return () => {
    stopped = true;
    clearInterval(timer);
  };
}

/**
 * Waits for the starts that are being written, whose commands are refused then, and for the ends of commands. A disk
 * that hangs does not keep the agent from stopping.
 */
const flushInTime = (database: Database): Promise<void> =>
  raceTimeout(
    FLUSH_MS,
    database.flush().then(() => database.flush()),
  ).catch(() => database.abandon());

/** Returns undefined where there is no journal. */
function databaseStatus({ database, failure }: Partial<State> = {}): DatabaseStatus | undefined {
  const none = { damaged: 0, lost: 0, rewritten: 0, restarted: 0 };
  return failure === undefined ? database?.status : { ...none, writable: false, reason: failure };
}

function journalHealth(state: Partial<State> | undefined): JournalHealth | undefined {
  const status = databaseStatus(state);
  return status && { state: status.writable ? 'ok' : `busy: ${status.reason}`, lost: status.lost };
}

function describeJournal(state: Partial<State> | undefined): AgentStatus['journal'] {
  const status = databaseStatus(state);
  return (
    status && state?.journal && { persistent: state.database?.persistent ?? true, ...status, ...state.journal.size }
  );
}

const describeParts = ({ transport, state }: Partial<Parts>) => ({
  address: transport?.address(),
  link: transport?.link(),
  kernelDrops: transport?.kernelDrops(),
  journal: describeJournal(state),
  outbox: state?.outbox && { ...state.outbox.size, drops: { ...state.outbox.drops } },
});

const describeStats = ({ counters, recent, sources }: Stats) => ({
  counters: structuredClone(counters),
  sources: sources.list(),
  lastCommand: recent.command && byWallClock(recent.command),
  lastSent: recent.sent && byWallClock(recent.sent),
  lastRefused: recent.refusedSources(),
});

const byWallClock = <T extends { readonly at: number }>(what: T): T => ({ ...what, at: wallTime(what.at) });
