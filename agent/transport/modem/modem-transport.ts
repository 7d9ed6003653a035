import { join } from 'node:path';
import { messageOf, SupersimError } from '../../../shared/errors.js';
import { MAX_PAYLOAD_BYTES } from '../../../shared/limits.js';
import { createJsonFile } from '../../base/json-file.js';
import { createRateLimitedLog, type Log } from '../../base/log.js';
import { formatEndpoint } from '../endpoint.js';
import { type Datagram, type ModemConsole, type ModemCounters, onlyLink, wallTime } from '../transport.js';
import type { ModemEvent } from './at/modem-event.js';
import { ModemFaultError } from './at/script.js';
import { createTraffic } from './console/traffic.js';
import { runUserCommand, toSupersimError } from './console/user-command.js';
import { createModemStatistics } from './counters.js';
import { sendDatagram } from './dialects/sockets.js';
import { createDriver } from './driver.js';
import type { ModemOptions, ModemTransport } from './options.js';
import { createPoll } from './poll.js';
import { createContentionCheck, isForeign } from './port-contention.js';
import { createReceiver } from './receiver.js';
import { createPinAttempts } from './recovery/pin-attempts.js';
import { createRecovery } from './recovery/recovery.js';
import { createSendQueue, faultAfterFailedSends, type QueuedDatagram } from './send-queue.js';
import { createSession } from './session.js';

/** How long a stop waits for queued datagrams. */
const FLUSH_MS = 3000;

/** Timing of polls and recovery; tests shorten it. */
export interface Timing {
  /** Speed of the delays of the recovery and of the port: 2 is twice as fast. */
  readonly pace: number;
  readonly pollMs: number;
}

const DEFAULT_TIMING: Timing = { pace: 1, pollMs: 45_000 };

/** The modem transport with its console and counters. */
export interface MonitoredModemTransport extends ModemTransport {
  readonly modem: ModemConsole;
  counts(): ModemCounters;
}

/**
 * Creates the transport over the UDP sockets of a modem behind a serial port. It tries to recover the modem for ever.
 */
export function createModemTransport(
  options: ModemOptions,
  log: Log,
  { pace, pollMs }: Timing = DEFAULT_TIMING,
): MonitoredModemTransport {
  const { gateway } = options;
  const created = performance.now();
  const rateLimitedLog = createRateLimitedLog(log);
  const traffic = createTraffic();
  let receive: (datagram: Datagram) => void = () => undefined;
  let changedAt = created;
  let portError: string | undefined;
  const statistics = createModemStatistics();
  /** Failed sends in a row. */
  let failedSends = 0;
  const contention = createContentionCheck(options.path, log);
  let stopped = false;
  let mayInterrupt = true;
  const file = createJsonFile(options.stateFolder && join(options.stateFolder, 'modem.json'), log);
  let started: ReturnType<typeof open> | undefined;

  function open(saved: unknown) {
    const driver = createDriver(options, { opened, down, event: onEvent }, traffic, log, pace);
    const pinAttempts = options.pin === undefined ? undefined : createPinAttempts(options.pin, saved, file);
    const session = createSession(options, driver, pinAttempts, log);
    const { perform } = session;
    const recovery = createRecovery(
      { perform, onHealthChange, file, saved, mayInterrupt: () => mayInterrupt, pace },
      log,
    );
    const receiver = createReceiver(driver, session, (socket, error) => {
      // A socket that is not ours may be closed before it is read.
      if (session.removeSocket(socket)) fail(error);
    });
    const poll = createPoll({ driver, session, recovery, statistics, pollMs, onError: fail });
    return { driver, session, recovery, receiver, poll };

    function opened(): void {
      portError = undefined;
      statistics.opened();
      void contention.opened();
      session.reset();
      recovery.begin();
    }

    function down(error: SupersimError): void {
      portError = error.message;
      session.reset();
      recovery.report('closed', error.message);
    }

    function onEvent(event: ModemEvent): void {
      statistics.event(event);
      if (isForeign(event)) void contention.check();
      switch (event.kind) {
        case 'datagram':
          deliver(event, session.portOf(event.socket));
          break;
        case 'pending':
          receiver.pending(event.socket);
          break;
        case 'closed':
          if (session.removeSocket(event.socket)) recovery.report('socket', 'the socket was closed');
          break;
        case 'information':
        case 'urc':
          if (/^\+CPIN: ?READY$/.test(event.line)) recovery.simReady();
          if (event.kind === 'urc' && event.loss !== undefined) recovery.report(event.loss, event.line);
          break;
        case 'discarded':
          discard(event);
      }
    }

    function fail(error: unknown): void {
      if (error instanceof ModemFaultError) recovery.report(error.fault, error.message);
      else recovery.report('refused', messageOf(error));
    }

    function onHealthChange(isHealthy: boolean): void {
      changedAt = performance.now();
      if (isHealthy) log.info({ ...session.view(), address: session.health()?.address }, 'modem up');
      else log.warn({ why: recovery.reason() }, 'modem down');
      if (!isHealthy && portError === undefined) void contention.check();
      if (!isHealthy) queue.fail(downError());
      poll.run(isHealthy);
    }
  }

  function deliver({ bytes, source }: Extract<ModemEvent, { kind: 'datagram' }>, port: number): void {
    receive({ bytes, source, port, transport: 'modem', receivedAt: performance.now() });
  }

  function discard({ bytes, reason }: Extract<ModemEvent, { kind: 'discarded' }>): void {
    rateLimitedLog(reason, { bytes: bytes.length }, 'discarded unrecognised modem bytes');
  }

  const queue = createSendQueue(async ({ bytes, destination, port }: QueuedDatagram) => {
    const { driver, session, recovery } = started ?? {};
    const dialect = session?.dialect();
    const socket = session?.socketOf(port);
    if (driver === undefined || dialect === undefined || socket === undefined) throw downError();
    try {
      await driver.run(sendDatagram(dialect, socket, destination, bytes, gateway));
      failedSends = 0;
    } catch (error) {
      if (error instanceof ModemFaultError && error.fault !== 'closed') {
        if (error.fault === 'socket') session?.removeSocket(socket);
        const repeated = error.fault === 'send' ? faultAfterFailedSends(++failedSends) : undefined;
        recovery?.report(repeated ?? error.fault, error.message);
      }
      throw new SupersimError('link-down', `cannot send to ${formatEndpoint(destination)}: ${messageOf(error)}`, {
        cause: error,
      });
    }
  });

  async function at(command: string): Promise<readonly string[]> {
    if (started === undefined || portError !== undefined) {
      throw new SupersimError('modem-port-lost', portError ?? `the serial port ${options.path} is not open`);
    }
    return started.driver.run(runUserCommand(command), 'during-pause').catch((error: unknown) => {
      throw toSupersimError(error);
    });
  }

  const isUp = (): boolean => started?.recovery.isHealthy() === true && started.session.isRegistered();

  function reason(): string {
    if (portError !== undefined) return portError;
    if (started?.recovery.isHealthy()) return `the modem is not registered: ${started.session.health()?.registration}`;
    return started?.recovery.reason() ?? 'the modem is being brought up';
  }

  const downError = () => new SupersimError('link-down', `no link by the modem: ${reason()}`);
  const counts = () => statistics.counters(started?.recovery.counts(), started?.recovery.deferredCount() ?? 0);
  const modemHealth = () => ({ ...started?.session.view(), counters: counts() });
  const address = () => (isUp() ? started?.session.health()?.address : undefined);
  const maxBytes = () => Math.min(MAX_PAYLOAD_BYTES, started?.session.dialect()?.maxSend ?? MAX_PAYLOAD_BYTES);

  return {
    name: 'modem',
    async start(onDatagram) {
      receive = onDatagram;
      const saved = await file.read();
      if (!stopped) started = open(saved);
    },
    send(bytes, destination, port, done) {
      const most = maxBytes();
      if (bytes.length > most) {
        done(
          new SupersimError(
            'too-large',
            `cannot send a datagram of ${bytes.length} bytes: the modem sends at most ${most}`,
          ),
        );
      } else if (!isUp()) done(downError());
      else queue.push({ bytes: Buffer.from(bytes), destination, port, done });
    },
    maxBytes,
    link() {
      const up = isUp();
      const status = { name: 'modem', up, reason: up ? undefined : reason(), since: wallTime(changedAt) };
      return onlyLink({ ...status, address: address(), modem: modemHealth() }, wallTime(created));
    },
    address,
    kernelDrops: () => undefined,
    allowInterruption(allowed) {
      mayInterrupt = allowed;
      if (allowed) started?.recovery.interruptionAllowed();
    },
    modem: { at, log: traffic.after },
    counts,
    async stop() {
      stopped = true;
      if (started === undefined) return;
      const { driver, recovery, poll } = started;
      await queue.flush(FLUSH_MS);
      recovery.stop();
      poll.run(false);
      await driver.close();
    },
  };
}
