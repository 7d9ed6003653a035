import { milliseconds } from '../shared/duration.js';
import { messageOf, SupersimError } from '../shared/errors.js';
import { toJson } from '../shared/format/value.js';
import { MAX_PAYLOAD_BYTES } from '../shared/limits.js';
import { createClockCheck } from './clock.js';
import { type Counters, createCounters } from './command/counters.js';
import { createDeadlineJudge } from './command/deadline.js';
import { createLaunch } from './command/launch.js';
import { createPipeline } from './command/pipeline.js';
import { createRunner } from './command/run.js';
import { resolveConfig } from './config/load.js';
import type { Config, ConfigInput } from './config/schema.js';
import type { Emit, HandlerDefinition } from './handlers/handler.js';
import { loadHandlers } from './handlers/load.js';
import { type Log, silentLog } from './log.js';
import { formatEndpoint, type Transport } from './transport/transport.js';
import { createUdpTransport } from './transport/udp.js';

/** How often the kernel is asked whether it had to throw datagrams away. */
const DROPS_INTERVAL_MS = 60_000;

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

export interface AgentStatus {
  /** The address that it listens on; undefined while there is no link. */
  readonly address: string | undefined;
  readonly ports: readonly number[];
  readonly running: number;
  readonly waiting: number;
  readonly counters: Readonly<Counters>;
  /** Datagrams that the kernel threw away because the receive buffer was full; undefined where it does not tell. */
  readonly kernelDrops: number | undefined;
}

export interface Agent {
  readonly config: Config;
  /**
   * Loads the handlers and listens. Having no link yet is no error. An agent starts once.
   *
   * @throws SupersimError `port-in-use`, `port-forbidden`, `handler-invalid`
   */
  start(): Promise<void>;
  /** Lets in nothing more, waits for what runs (`limits.stop` at most), sends its replies. Can be called again. */
  stop(): Promise<void>;
  readonly emit: Emit;
  status(): AgentStatus;
}

/**
 * Makes an agent: what `supersim-agent run` runs, for another program to embed.
 *
 * @throws SupersimError `config-invalid`
 */
export function createAgent(options: AgentOptions = {}): Agent {
  const config = resolveConfig(options.config);
  const log = options.log ?? silentLog;
  const counters = createCounters();
  const { id: deviceId } = config.device;
  const ports = config.listen.ports.map(({ port }) => port);
  const transport: Transport = createUdpTransport(
    {
      listen: config.listen.address,
      ports,
      gateway: config.gateway,
      receiveBufferBytes: config.listen.receiveBufferBytes,
    },
    log,
  );
  const runner = createRunner(config.limits, { deviceId, log, emit });
  const clockSynchronized = createClockCheck();
  const launch = createLaunch(runner, createDeadlineJudge(clockSynchronized, config.deadline.unsynchronized));
  let admitting = false;
  let dropsTimer: NodeJS.Timeout | undefined;
  let dropsLogged = 0;
  let stopPipeline = () => {};
  let started = false;
  let stopped: Promise<void> | undefined;
  const stopOnAbort = () => void stop();

  async function emit(event: string | Uint8Array, data?: unknown): Promise<void> {
    const bytes = typeof event === 'string' ? Buffer.from(toJson({ event, data })) : event;
    if (bytes.length > MAX_PAYLOAD_BYTES) {
      throw new SupersimError(
        'too-large',
        `the event has ${bytes.length} bytes; an IP Command carries ${MAX_PAYLOAD_BYTES}`,
      );
    }
    await new Promise<void>((resolve, reject) => {
      transport.send(bytes, config.gateway, ports[0] ?? 0, (error) =>
        error === undefined ? resolve() : reject(error),
      );
    }).catch((error: unknown) => {
      counters.unsent++;
      throw error;
    });
    counters.sent++;
    counters.sentBytes += bytes.length;
    log.info(
      { event: typeof event === 'string' ? event : undefined, bytes: bytes.length, transport: transport.name },
      'event',
    );
  }

  async function start(): Promise<void> {
    options.signal?.throwIfAborted();
    if (started || stopped !== undefined) throw new Error('an agent starts only once: make another');
    started = true;
    options.signal?.addEventListener('abort', stopOnAbort, { once: true });
    const registry = await loadHandlers(config, options.handlers ?? [], log, clockSynchronized);
    const pipeline = createPipeline({ config, registry, launch, counters, log });
    stopPipeline = pipeline.stop;
    await transport.start((datagram) => {
      if (!admitting) return;
      try {
        pipeline.receive(datagram, transport);
      } catch (error) {
        // A mistake of the agent's own: the next datagram may fare better.
        log.error({ error: messageOf(error), peer: formatEndpoint(datagram.source) }, 'internal error');
      }
    });
    // Stopped while it was starting.
    if (stopped !== undefined) return;
    admitting = true;
    dropsTimer = setInterval(logDrops, DROPS_INTERVAL_MS);
    log.info({ device: deviceId, commands: registry.size }, 'agent started');
  }

  function logDrops(): void {
    const drops = transport.kernelDrops() ?? 0;
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
    logDrops();
    await runner.stop(milliseconds(config.limits.stop));
    stopPipeline();
    await transport.stop();
    log.info({ ...counters }, 'agent stopped');
  }

  return {
    config,
    start,
    stop,
    emit,
    status: () => ({
      address: transport.address(),
      ports,
      running: runner.running,
      waiting: runner.waiting,
      counters: structuredClone(counters),
      kernelDrops: transport.kernelDrops(),
    }),
  };
}
