import { setTimeout as sleep } from 'node:timers/promises';
import type { Log } from '../../base/log.js';
import type { ModemHealth, Rung } from '../transport.js';
import { ModemFaultError } from './at/script.js';
import type { Dialect } from './dialects/dialect.js';
import { DIALECTS, dialectOf } from './dialects/index.js';
import type { Driver } from './driver.js';
import type { ModemOptions } from './options.js';
import type { createPinAttempts } from './recovery/pin-attempts.js';
import { bringUp, type RadioPermit } from './scripts/bring-up.js';
import { checkHealth, type Health, isRegistered } from './scripts/health.js';
import { cycleRadio, identify, type ModemIdentity, readIccid, reset } from './scripts/identify.js';
import { asksForPin, enterPin, pinRefused } from './scripts/sim.js';

/** After a reset the port of a modem disappears within a few seconds, if at all. */
const RESET_MS = 3000;
/** How long the port may take to come back. */
const PORT_BACK_MS = 60_000;
const PORT_CHECK_INTERVAL_MS = 100;

export type SessionOptions = Pick<ModemOptions, 'dialect' | 'apn' | 'flowControl' | 'pin' | 'ports' | 'gateway'>;

/** Brings a modem from an open port to open sockets, and performs the rungs of the recovery. */
export type Session = ReturnType<typeof createSession>;

export function createSession(
  options: SessionOptions,
  driver: Driver,
  pinAttempts: ReturnType<typeof createPinAttempts> | undefined,
  log: Log,
) {
  const { ports, gateway, apn, flowControl, pin } = options;
  let dialect: Dialect | undefined = options.dialect === 'auto' ? undefined : DIALECTS[options.dialect];
  /** Whether the engine has the grammar of the dialect. */
  let isIdentified = false;
  let identity: ModemIdentity | undefined;
  let iccid: string | undefined;
  let health: Health | undefined;
  /** Open sockets by device port. */
  const sockets = new Map<number, number>();
  /** Settings that the last bring-up deferred, as one text. */
  let lastDeferred = '';

  async function bringUpFromStart(permit: RadioPermit): Promise<void> {
    sockets.clear();
    const found = await driver.run(identify());
    if (found.model === '') throw new ModemFaultError('silent', 'the modem does not report its model');
    const name = options.dialect === 'auto' ? dialectOf(found.model) : options.dialect;
    if (identity?.imei !== found.imei || identity.model !== found.model) log.info({ ...found, dialect: name }, 'modem');
    identity = found;
    dialect = DIALECTS[name];
    driver.setGrammar(dialect.grammar);
    isIdentified = true;
    await attach(dialect, permit);
  }

  async function unlock(used: Dialect): Promise<void> {
    if (pin === undefined || pinAttempts === undefined) return;
    if (!(await driver.run(asksForPin()))) return pinAttempts.recordUnlocked();
    const card = await driver.run(readIccid(used));
    if (!(await pinAttempts.mayEnter(card))) throw pinRefused();
    await pinAttempts.recordAttempt(card);
    const { accepted, error } = await driver.run(enterPin(pin));
    if (accepted === true) return pinAttempts.recordAccepted();
    if (accepted === false) await pinAttempts.recordRefused();
    throw pinRefused(error);
  }

  async function attach(used: Dialect, permit: RadioPermit): Promise<void> {
    await unlock(used);
    const attachment = await driver.run(bringUp(used, { apn, flowControl, permit }));
    iccid = attachment.iccid ?? iccid;
    const deferred = attachment.deferred.join('; ');
    if (deferred !== '' && deferred !== lastDeferred) {
      log.warn(
        { commands: attachment.deferred },
        'modem settings: deferred, as they need the radio to be switched off and on, which is not allowed now',
      );
    }
    lastDeferred = deferred;
    await driver.run(used.activate(apn));
    await openSockets(used, ports);
  }

  async function openSockets(used: Dialect, which: readonly number[]): Promise<void> {
    const possible = ports.slice(0, used.maxSockets);
    if (possible.length < ports.length) {
      log.warn(
        { ports: possible },
        `modem sockets: listening on ${possible.length} of ${ports.length} ports, as the modem has no more sockets`,
      );
    }
    for (const [index, port] of possible.entries()) {
      if (which.includes(port)) sockets.set(port, await driver.run(used.listen(port, index, gateway)));
    }
    health = await driver.run(checkHealth());
  }

  async function resetModem(used: Dialect): Promise<void> {
    await driver.run(reset(used));
    await sleep(RESET_MS);
    // Reopen it in any case: another program may have changed the settings of the line.
    if (driver.isOpen()) driver.reopen('the modem was reset');
    const until = performance.now() + PORT_BACK_MS;
    while (!driver.isOpen() && performance.now() < until) await sleep(PORT_CHECK_INTERVAL_MS);
  }

  /** Opens the missing sockets; all, where none is known to be missing. */
  async function reopenSockets(used: Dialect): Promise<void> {
    const missing = ports.slice(0, used.maxSockets).filter((port) => !sockets.has(port));
    if (missing.length === 0) sockets.clear();
    await openSockets(used, missing.length === 0 ? ports : missing);
  }

  return {
    /** The port was opened anew: the state of the modem is unknown. */
    reset(): void {
      isIdentified = false;
      sockets.clear();
    },

    /** Performs a rung, and what follows it until the sockets are open. @throws ModemFaultError */
    async perform(rung: Rung, permit: RadioPermit): Promise<void> {
      if (!driver.isOpen()) throw new ModemFaultError('closed', 'the port is not open');
      if (dialect === undefined || !isIdentified) return bringUpFromStart(permit);
      switch (rung) {
        case 'socket':
          return reopenSockets(dialect);
        case 'context':
          sockets.clear();
          await driver.run(dialect.deactivate());
          return attach(dialect, permit);
        case 'airplane':
          sockets.clear();
          await driver.run(cycleRadio(dialect));
          return attach(dialect, permit);
        case 'reset':
          sockets.clear();
          await resetModem(dialect);
          return bringUpFromStart(permit);
        case 'power':
          throw new ModemFaultError('silent', 'the agent cannot switch the power of the modem');
        default:
          return bringUpFromStart(permit);
      }
    },

    dialect: (): Dialect | undefined => dialect,
    socketOf: (port: number): number | undefined => sockets.get(port),
    sockets: (): readonly number[] => [...sockets.values()],

    /** Returns the device port of a socket. An unknown socket was made by the one that listens on the first port. */
    portOf(socket: number | null): number {
      const [port] = [...sockets].find(([, one]) => one === socket) ?? [];
      return port ?? ports[0] ?? 0;
    },

    /** @returns whether the socket was one of ours */
    removeSocket(socket: number): boolean {
      const [port] = [...sockets].find(([, one]) => one === socket) ?? [];
      return port !== undefined && sockets.delete(port);
    },

    removeAllSockets: (): void => sockets.clear(),

    health: (): Health | undefined => health,

    async checkHealth(): Promise<Health> {
      health = await driver.run(checkHealth());
      return health;
    },

    isRegistered: (): boolean => health !== undefined && isRegistered(health.registration),

    /** Returns the modem's health for `status`, `info` and `health`. */
    view(): ModemHealth {
      const registration = health?.registration === 'idle' ? 'none' : health?.registration;
      const { operator, signalDbm } = health ?? {};
      return { model: identity?.model, imei: identity?.imei, iccid, registration, operator, signalDbm };
    },
  };
}
