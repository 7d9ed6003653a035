import { setTimeout as sleep } from 'node:timers/promises';
import type { Log } from '../../base/log.js';
import type { ModemHealth, Rung } from '../transport.js';
import { ModemFaultError } from './at/script.js';
import type { Dialect } from './dialects/dialect.js';
import { DIALECTS, dialectOf } from './dialects/index.js';
import type { Driver } from './driver.js';
import type { ModemOptions } from './options.js';
import type { createPinTries } from './recovery/pin-attempts.js';
import { bringUp, type RadioPermit } from './scripts/bring-up.js';
import { checkHealth, type Health, isRegistered } from './scripts/health.js';
import { cycleRadio, type Identity, identify, readIccid, reset } from './scripts/identify.js';
import { asksForPin, enterPin, notTaken } from './scripts/sim.js';

/** After its reset a modem's port goes within a few seconds, if it goes at all. */
const RESET_MS = 3000;
/** How long it may take until it is there again. */
const PORT_BACK_MS = 60_000;
const PORT_LOOK_MS = 100;

export type SessionOptions = Pick<ModemOptions, 'dialect' | 'apn' | 'flowControl' | 'pin' | 'ports' | 'gateway'>;

/** What is said to the modem: from silence to open sockets, and each rung of the ladder. */
export type Session = ReturnType<typeof createSession>;

export function createSession(
  options: SessionOptions,
  driver: Driver,
  tries: ReturnType<typeof createPinTries> | undefined,
  log: Log,
) {
  const { ports, gateway, apn, flowControl, pin } = options;
  let dialect: Dialect | undefined = options.dialect === 'auto' ? undefined : DIALECTS[options.dialect];
  /** The engine speaks the dialect. */
  let spoken = false;
  let identity: Identity | undefined;
  let iccid: string | undefined;
  let health: Health | undefined;
  /** By device port; those that are lost are not there. */
  const sockets = new Map<number, number>();
  /** Settings that the modem was last left without, as one text. */
  let unset = '';

  async function bringAllUp(permit: RadioPermit): Promise<void> {
    sockets.clear();
    const found = await driver.run(identify());
    if (found.model === '') throw new ModemFaultError('silent', 'the modem does not tell its model');
    const name = options.dialect === 'auto' ? dialectOf(found.model) : options.dialect;
    if (identity?.imei !== found.imei || identity.model !== found.model) log.info({ ...found, dialect: name }, 'modem');
    identity = found;
    dialect = DIALECTS[name];
    driver.speak(dialect.grammar);
    spoken = true;
    await attach(dialect, permit);
  }

  async function unlock(speaking: Dialect): Promise<void> {
    if (pin === undefined || tries === undefined) return;
    if (!(await driver.run(asksForPin()))) return tries.notAsked();
    const card = await driver.run(readIccid(speaking));
    if (!(await tries.mayEnter(card))) throw notTaken();
    await tries.entering(card);
    const { taken, error } = await driver.run(enterPin(pin));
    if (taken === true) return tries.taken();
    if (taken === false) await tries.refused();
    throw notTaken(error);
  }

  async function attach(speaking: Dialect, permit: RadioPermit): Promise<void> {
    await unlock(speaking);
    const attachment = await driver.run(bringUp(speaking, { apn, flowControl, permit }));
    iccid = attachment.iccid ?? iccid;
    const left = attachment.unset.join('; ');
    if (left !== '' && left !== unset) {
      log.warn(
        { commands: attachment.unset },
        'the modem is left as it is set: what these commands set needs its radio to go off and on, which is not allowed now',
      );
    }
    unset = left;
    await driver.run(speaking.activate(apn));
    await open(speaking, ports);
  }

  async function open(speaking: Dialect, which: readonly number[]): Promise<void> {
    const most = ports.slice(0, speaking.maxSockets);
    if (most.length < ports.length) {
      log.warn({ ports: most }, `the modem listens on ${most.length} of ${ports.length} ports: it has no more sockets`);
    }
    for (const [index, port] of most.entries()) {
      if (which.includes(port)) sockets.set(port, await driver.run(speaking.listen(port, index, gateway)));
    }
    health = await driver.run(checkHealth());
  }

  async function resetModem(speaking: Dialect): Promise<void> {
    await driver.run(reset(speaking));
    await sleep(RESET_MS);
    // It may be the port that is not as it was opened: another program can have set its line.
    if (driver.isOpen()) driver.reopen('the modem was reset');
    const until = performance.now() + PORT_BACK_MS;
    while (!driver.isOpen() && performance.now() < until) await sleep(PORT_LOOK_MS);
  }

  /** What is not known to be there is opened; all, where nothing is known to be missing. */
  async function reopen(speaking: Dialect): Promise<void> {
    const missing = ports.slice(0, speaking.maxSockets).filter((port) => !sockets.has(port));
    if (missing.length === 0) sockets.clear();
    await open(speaking, missing.length === 0 ? ports : missing);
  }

  return {
    /** The port is open: what was known of the modem's state is not known any more. */
    forget(): void {
      spoken = false;
      sockets.clear();
    },

    /** Does a rung, and what has to follow it until the sockets are open. @throws ModemFaultError */
    async act(rung: Rung, permit: RadioPermit): Promise<void> {
      if (!driver.isOpen()) throw new ModemFaultError('closed', 'the port is not open');
      if (dialect === undefined || !spoken) return bringAllUp(permit);
      switch (rung) {
        case 'socket':
          return reopen(dialect);
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
          return bringAllUp(permit);
        case 'power':
          throw new ModemFaultError('silent', 'nothing here can switch the modem’s power');
        default:
          return bringAllUp(permit);
      }
    },

    dialect: (): Dialect | undefined => dialect,
    socketOf: (port: number): number | undefined => sockets.get(port),
    sockets: (): readonly number[] => [...sockets.values()],

    /** The device port that a socket listens on; a socket that is none of these was made by the one that listens. */
    portOf(socket: number | null): number {
      const [port] = [...sockets].find(([, one]) => one === socket) ?? [];
      return port ?? ports[0] ?? 0;
    },

    /** @returns whether the socket was one of ours */
    lost(socket: number): boolean {
      const [port] = [...sockets].find(([, one]) => one === socket) ?? [];
      return port !== undefined && sockets.delete(port);
    },

    /** All sockets are stale. */
    lostAll: (): void => sockets.clear(),

    health: (): Health | undefined => health,

    async checkHealth(): Promise<Health> {
      health = await driver.run(checkHealth());
      return health;
    },

    isRegistered: (): boolean => health !== undefined && isRegistered(health.registration),

    /** For status, info and health. */
    view(): ModemHealth {
      const registration = health?.registration === 'idle' ? 'none' : health?.registration;
      const { operator, signalDbm } = health ?? {};
      return { model: identity?.model, imei: identity?.imei, iccid, registration, operator, signalDbm };
    },
  };
}
