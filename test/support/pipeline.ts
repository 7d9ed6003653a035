import { type Log, silentLog } from '../../agent/base/log.js';
import type { Journal } from '../../agent/command/journal/types.js';
import { createDelivery } from '../../agent/command/outbox/delivery.js';
import { createCarrierCheck } from '../../agent/command/peers/admit.js';
import { createRates } from '../../agent/command/peers/rates.js';
import { createPipeline } from '../../agent/command/pipeline.js';
import type { Verdict } from '../../agent/command/runner/deadline.js';
import { createDeadlineGate } from '../../agent/command/runner/deadline-gate.js';
import { createPlaces } from '../../agent/command/runner/places.js';
import { createStats } from '../../agent/command/stats/stats.js';
import { resolveConfig } from '../../agent/config/load.js';
import type { Config, ConfigInput } from '../../agent/config/schema.js';
import { echo } from '../../agent/handlers/builtin/echo.js';
import { health } from '../../agent/handlers/builtin/health.js';
import { ping } from '../../agent/handlers/builtin/ping.js';
import type { HandlerDefinition } from '../../agent/handlers/handler.js';
import { addHandler, compileBuiltIn, compileHandler, type Registry } from '../../agent/handlers/registry.js';
import type { DeviceKey } from '../../agent/security/key-file.js';
import { createSecurity } from '../../agent/security/security.js';
import type { Endpoint } from '../../agent/transport/endpoint.js';
import { onlyLink, type Transport } from '../../agent/transport/transport.js';

export interface Sent {
  readonly bytes: Buffer;
  readonly destination: Endpoint;
  readonly port: number;
  readonly via: string | undefined;
}

export interface PipelineSetup {
  readonly config?: ConfigInput;
  /** Besides `ping`, `echo` and `health`. */
  readonly handlers?: readonly HandlerDefinition[];
  readonly log?: Log;
  readonly journal?: Journal;
  /** The identity of the journal, as a reply carries it. */
  readonly identity?: () => string;
  /** Answers for the transport whether a datagram could leave. */
  readonly sendError?: () => Error | undefined;
  readonly maxBytes?: () => number;
  /** Judges deadlines; without it they are not looked at before a command runs. */
  readonly judge?: (deadline: number) => Promise<Verdict>;
  /** Name of the transport that datagrams come by. */
  readonly transport?: string;
  /** The time for which the event loop has waited; without it there is no overload. */
  readonly idleMs?: () => number;
  /** Its keys; they need a state folder in the configuration. */
  readonly keys?: readonly DeviceKey[];
  /** Whether the clock is synchronised. */
  readonly isSynchronized?: boolean;
}

export const FROM_CARRIER: Endpoint = { address: '100.64.0.1', port: 6969 };

/** A datagram's whole way without a socket: what comes in is handed over, what goes out is kept. */
export function startPipeline({
  config = {},
  handlers = [],
  log = silentLog,
  journal,
  identity,
  sendError,
  maxBytes,
  judge,
  transport: name = 'fake',
  idleMs,
  keys = [],
  isSynchronized = true,
}: PipelineSetup = {}) {
  const resolved = resolveConfig(config);
  const security = createSecurity({
    config: resolved,
    loaded: { keys, problems: [] },
    isSynchronized: async () => isSynchronized,
    log,
  });
  security.open();
  const stats = createStats(log);
  const { counters, meters, recent } = stats;
  const registry: Registry = new Map();
  for (const definition of [ping, echo, health({})]) addHandler(registry, compileBuiltIn(definition));
  for (const definition of handlers) addHandler(registry, compileHandler(definition));
  meters.know(registry.keys());
  const runner = createPlaces(resolved.limits, {
    deviceId: 'test',
    log,
    emit: async () => undefined,
    ran: stats.ran,
    notStarted: stats.notStarted,
  });
  const sent: Sent[] = [];
  let arrived: (() => void) | undefined;
  const transport: Transport = {
    name,
    start: async () => undefined,
    send(bytes, destination, port, done, via) {
      sent.push({ bytes: Buffer.from(bytes), destination, port, via });
      done(sendError?.());
      arrived?.();
    },
    maxBytes: maxBytes ?? (() => 1300),
    link: () => onlyLink({ name, up: true, since: 0 }, 0),
    address: () => '127.0.0.1',
    kernelDrops: () => undefined,
    stop: async () => undefined,
  };
  const rates = createRates(resolved.limits, createCarrierCheck(resolved.gateway));
  const { send } = createDelivery({ transport, outbox: undefined, keepMs: 0, rates, stats, log });
  const pipeline = createPipeline({
    config: resolved,
    registry,
    submit: judge === undefined ? runner.submit : createDeadlineGate(runner, judge),
    journal,
    identity,
    send,
    security,
    maxBytes: transport.maxBytes,
    stats,
    idleMs,
    log,
  });
  const [firstPort] = resolved.listen.ports;

  function receive(bytes: Uint8Array | string, source = FROM_CARRIER, port = firstPort?.port ?? 0): void {
    pipeline.receive({
      bytes: Buffer.from(bytes),
      source,
      port,
      transport: name,
      receivedAt: performance.now(),
    });
  }

  return {
    pipeline: {
      ...pipeline,
      change(next: Config, loaded = { keys, problems: [] }): void {
        security.change(next, loaded);
        pipeline.change(next);
      },
    },
    security,
    counters,
    recent,
    meters,
    registry,
    runner,
    sent,
    receive,
    /** Hands a datagram over and gives what went out at once: all that a synchronous handler answers. */
    answers(bytes: Uint8Array | string, source?: Endpoint, port?: number): Buffer[] {
      sent.length = 0;
      receive(bytes, source, port);
      return sent.map((one) => one.bytes);
    },
    /** Waits for the next datagram that goes out. */
    async reply(bytes: Uint8Array | string, source?: Endpoint, port?: number): Promise<Buffer> {
      sent.length = 0;
      const gone = new Promise<void>((resolve) => {
        arrived = resolve;
      });
      receive(bytes, source, port);
      await gone;
      return sent[0]?.bytes ?? Buffer.alloc(0);
    },
  };
}
