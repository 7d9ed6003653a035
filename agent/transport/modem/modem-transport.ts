import { messageOf, SupersimError } from '../../../shared/errors.js';
import { MAX_PAYLOAD_BYTES } from '../../../shared/limits.js';
import { createModemFile } from '../../base/json-file.js';
import type { Log } from '../../base/log.js';
import { createMinuteLog } from '../../base/rate-limited-log.js';
import { formatEndpoint } from '../endpoint.js';
import { type Datagram, type ModemConsole, type ModemCounters, onlyLink, wallTime } from '../transport.js';
import type { ModemEvent } from './at/modem-event.js';
import { ModemFaultError } from './at/script.js';
import { createTraffic } from './console/traffic.js';
import { runAnyCommand, toSupersimError } from './console/user-command.js';
import { createTally } from './counters.js';
import { sendDatagram } from './dialects/sockets.js';
import { createDriver } from './driver.js';
import type { ModemOptions, ModemTransport } from './options.js';
import { createPoll } from './poll.js';
import { createRivalWatch, isForeign } from './port-contention.js';
import { createReceiver } from './receiver.js';
import { createPinTries } from './recovery/pin-attempts.js';
import { createRecovery } from './recovery/recovery.js';
import { createSendQueue, faultAfterFailedSends, type Outgoing } from './send-queue.js';
import { createSession } from './session.js';

/** How long what is to be sent when it stops may take. */
const FLUSH_MS = 3000;

/** How fast time passes; tests have no time to wait. */
export interface Tempo {
  /** Of the waits of the recovery, and of the port's: 2 is twice as fast. */
  readonly pace: number;
  readonly pollMs: number;
}

const USUAL: Tempo = { pace: 1, pollMs: 45_000 };

/** What there is to see of it besides its link. */
export interface ModemView extends ModemTransport {
  readonly modem: ModemConsole;
  counts(): ModemCounters;
}

/** Datagrams by the UDP sockets of a modem behind a serial port. It never gives the modem up. */
export function createModemTransport(options: ModemOptions, log: Log, { pace, pollMs }: Tempo = USUAL): ModemView {
  const { gateway } = options;
  const created = performance.now();
  const minuteLog = createMinuteLog(log);
  const traffic = createTraffic();
  let receive: (datagram: Datagram) => void = () => undefined;
  let changedAt = created;
  let portError: string | undefined;
  const tally = createTally();
  /** In a row. */
  let failedSends = 0;
  const rivals = createRivalWatch(options.path, log);
  let stopped = false;
  let mayInterrupt = true;
  const file = createModemFile(options.stateFolder, log);
  let started: ReturnType<typeof open> | undefined;

  function open(saved: unknown) {
    const driver = createDriver(options, { opened, down, event: onEvent }, traffic, log, pace);
    const tries = options.pin === undefined ? undefined : createPinTries(options.pin, saved, file);
    const session = createSession(options, driver, tries, log);
    const { act } = session;
    const recovery = createRecovery({ act, changed, file, saved, mayInterrupt: () => mayInterrupt, pace }, log);
    const receiver = createReceiver(driver, session, (socket, error) => {
      // A socket that is not ours may be gone before it could be read.
      if (session.lost(socket)) fail(error);
    });
    const poll = createPoll({ driver, session, recovery, tally, pollMs, fail });
    return { driver, session, recovery, receiver, poll };

    function opened(): void {
      portError = undefined;
      tally.opened();
      void rivals.opened();
      session.forget();
      recovery.begin();
    }

    function down(error: SupersimError): void {
      portError = error.message;
      session.forget();
      recovery.trouble('closed', error.message);
    }

    function onEvent(event: ModemEvent): void {
      tally.event(event);
      if (isForeign(event)) void rivals.suspect();
      switch (event.kind) {
        case 'datagram':
          hand(event, session.portOf(event.socket));
          break;
        case 'pending':
          receiver.pending(event.socket);
          break;
        case 'closed':
          if (session.lost(event.socket)) recovery.trouble('socket', 'the socket was closed');
          break;
        case 'information':
        case 'urc':
          if (/^\+CPIN: ?READY$/.test(event.line)) recovery.simReady();
          if (event.kind === 'urc' && event.loss !== undefined) recovery.trouble(event.loss, event.line);
          break;
        case 'discarded':
          discard(event);
      }
    }

    function fail(error: unknown): void {
      if (error instanceof ModemFaultError) recovery.trouble(error.trouble, error.message);
      else recovery.trouble('refused', messageOf(error));
    }

    function changed(isWell: boolean): void {
      changedAt = performance.now();
      if (isWell) log.info({ ...session.view(), address: session.health()?.address }, 'modem up');
      else log.warn({ why: recovery.reason() }, 'modem down');
      if (!isWell && portError === undefined) void rivals.suspect();
      if (!isWell) queue.fail(downError());
      poll.run(isWell);
    }
  }

  function hand({ bytes, source }: Extract<ModemEvent, { kind: 'datagram' }>, port: number): void {
    receive({ bytes, source, port, transport: 'modem', receivedAt: performance.now() });
  }

  function discard({ bytes, reason }: Extract<ModemEvent, { kind: 'discarded' }>): void {
    minuteLog(reason, { bytes: bytes.length }, 'discarded unrecognised modem bytes');
  }

  const queue = createSendQueue(async ({ bytes, destination, port }: Outgoing) => {
    const { driver, session, recovery } = started ?? {};
    const dialect = session?.dialect();
    const socket = session?.socketOf(port);
    if (driver === undefined || dialect === undefined || socket === undefined) throw downError();
    try {
      await driver.run(sendDatagram(dialect, socket, destination, bytes, gateway));
      failedSends = 0;
    } catch (error) {
      if (error instanceof ModemFaultError && error.trouble !== 'closed') {
        if (error.trouble === 'socket') session?.lost(socket);
        const repeated = error.trouble === 'send' ? faultAfterFailedSends(++failedSends) : undefined;
        recovery?.trouble(repeated ?? error.trouble, error.message);
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
    return started.driver.run(runAnyCommand(command), 'aside').catch((error: unknown) => {
      throw toSupersimError(error);
    });
  }

  const isUp = (): boolean => started?.recovery.isWell() === true && started.session.isRegistered();

  function reason(): string {
    if (portError !== undefined) return portError;
    if (started?.recovery.isWell()) return `the modem is not registered: ${started.session.health()?.registration}`;
    return started?.recovery.reason() ?? 'the modem is being brought up';
  }

  const downError = () => new SupersimError('link-down', `no link by the modem: ${reason()}`);
  const counts = () => tally.counters(started?.recovery.counts(), started?.recovery.timesWithheld() ?? 0);
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
        done(new SupersimError('too-large', `a datagram of ${bytes.length} bytes; the modem sends at most ${most}`));
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
      if (allowed) started?.recovery.mayInterruptNow();
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
