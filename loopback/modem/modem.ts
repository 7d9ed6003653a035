import { milliseconds } from '../../shared/duration.js';
import { messageOf } from '../../shared/errors.js';
import type { Sim } from '../account/sims.js';
import type { Endpoint } from '../network/network.js';
import type { Unit } from './at/unit.js';
import { newPersistentState, type Registration, type SimStatus } from './cellular.js';
import { type Clock, systemClock } from './clock.js';
import { type Core, createCore } from './core.js';
import type { Received } from './dialects/dialect.js';
import { resolveDialect } from './dialects/index.js';
import type { ModemEvent } from './events.js';
import { createCommandFaults } from './faults/command-faults.js';
import { formatModemFaults, type ModemFaultsInput, resolveModemFaults } from './faults/faults.js';
import { createOutput, garbage } from './faults/output.js';
import { createSampler } from './faults/sampler.js';
import { checkSeed, type ModemSettings } from './settings.js';
import type { LoopbackModem } from './status.js';
import { createAbsence } from './tty/absence.js';
import { createPort } from './tty/port.js';
import { createWire } from './tty/wire.js';

/** For the last words to be read. */
const LAST_WORDS_MS = 100;

export interface ModemOptions {
  readonly settings: ModemSettings;
  readonly sim: Sim;
  readonly seed: number;
  readonly transmit: (bytes: Buffer, port: number, destination: Endpoint) => void;
  readonly onAttached: (attached: boolean) => void;
  readonly onEvent: (event: ModemEvent) => void;
  readonly onError: (message: string) => void;
}

/** The loopback’s side of the modem. */
export interface Modem extends LoopbackModem {
  /** Whether a socket of the modem takes the datagram. */
  receive(port: number, datagram: Received): boolean;
  stop(): Promise<void>;
}

/**
 * Switches a virtual modem on: a tty, and a SIM on the loopback’s network.
 *
 * @throws SupersimError `pty-missing`, or `bad-input` for settings that cannot be used
 */
export async function startModem(options: ModemOptions): Promise<Modem> {
  const { settings, sim, onEvent, onError } = options;
  const clock: Clock = systemClock;
  const dialect = resolveDialect(settings.dialect, settings.quirks);
  const digits = sim.iccid.slice(-9);
  const persistent = newPersistentState({
    address: sim.address,
    iccid: sim.iccid,
    imei: `863427${digits}`,
    imsi: `732123${digits}`,
  });
  let faults = resolveModemFaults(settings.faults ?? {});
  let seed = settings.seed ?? options.seed;
  let sampler = createSampler(seed);
  let said = 0;
  let heard = 0;
  /** Undefined while the tty is away. */
  let core: Core | undefined;
  const absence = createAbsence(clock);
  let restarting: Promise<void> | undefined;
  let stopped = false;

  const port = createPort({
    link: settings.path,
    onData: (bytes) => inward.send(bytes),
    onLost: () => void restart('its terminal was ended', 0),
    onUsers: (pids) => onEvent({ what: 'users', pids }),
  });
  const inward = createWire(settings.baud, clock, hear);
  const outward = createWire(settings.baud, clock, say);
  const output = createOutput({
    clock,
    faults: () => faults,
    sampler: () => sampler,
    idleUrc: () => core?.idleUrc ?? '',
    write: outward.send,
    onHit: (fault, bytes) => onEvent({ what: 'fault', fault, text: bytes.toString('latin1').trim() }),
  });
  const commandFaults = createCommandFaults({
    faults: () => faults,
    sampler: () => sampler,
    onHit: (fault, text) => onEvent({ what: 'fault', fault, text }),
  });

  function hear(bytes: Buffer): void {
    const until = faults.resetAfterHeard;
    const resets = until > 0 && heard + bytes.length >= until;
    const taken = resets ? bytes.subarray(0, until - heard) : bytes;
    heard += bytes.length;
    if (faults.silent === 'no') core?.input(taken);
    if (resets) void restart(`it has heard ${until} bytes`, 0);
  }

  function say(bytes: Buffer): void {
    const until = faults.resetAfterSent;
    const resets = until > 0 && said + bytes.length >= until;
    port.write(resets ? bytes.subarray(0, until - said) : bytes);
    said += bytes.length;
    if (resets) void restart(`it has said ${until} bytes`, LAST_WORDS_MS);
  }

  function emit(unit: Unit): void {
    if (unit.kind === 'urc') {
      const [text = ''] = unit.bytes.toString('latin1').trim().split('\r\n');
      onEvent({ what: 'urc', text });
    }
    output.emit(unit);
  }

  function powerOn(): void {
    const next: Core = createCore({
      clock,
      persistent,
      dialect,
      emit,
      transmit(bytes, localPort, destination) {
        onEvent({ what: 'sent', port: localPort, destination, bytes: bytes.length });
        options.transmit(bytes, localPort, destination);
      },
      faults: commandFaults,
      // Its answer is to be read first.
      onRestart: () => void restart('the host asked for it', LAST_WORDS_MS),
      onAttached: options.onAttached,
      onCommand: (command, result) => onEvent({ what: 'command', command, result }),
      onRegistration: (registration) => onEvent({ what: 'registration', registration }),
      onNote: (text) => onEvent({ what: 'note', text }),
    });
    core = next;
  }

  async function appear(): Promise<void> {
    await port.appear();
    // It may have been unplugged while it came.
    if (!absence.isPlugged()) return;
    const path = port.path();
    if (path !== undefined) onEvent({ what: 'tty', path });
    powerOn();
  }

  function restart(why: string, inMs: number): Promise<void> {
    if (restarting !== undefined || stopped) return restarting ?? Promise.resolve();
    onEvent({ what: 'restart', why });
    faults = { ...faults, resetAfterSent: 0, resetAfterHeard: 0 };
    core?.off();
    core = undefined;
    restarting = comeBack(inMs)
      .catch((error: unknown) => onError(`modem: ${messageOf(error)}`))
      .finally(() => {
        restarting = undefined;
      });
    return restarting;
  }

  async function comeBack(inMs: number): Promise<void> {
    options.onAttached(false);
    await pause(inMs);
    for (let rounds = 0; inMs > 0 && outward.waiting() > 0 && rounds < 100; rounds += 1) await pause(inMs);
    while (core === undefined) {
      await vanish();
      await absence.begin(milliseconds(faults.away));
      if (stopped) return;
      await appear();
    }
  }

  async function vanish(): Promise<void> {
    const wasThere = port.path() !== undefined;
    output.clear();
    inward.clear();
    outward.clear();
    await port.vanish();
    if (wasThere) onEvent({ what: 'tty' });
  }

  options.onAttached(false);
  await appear();
  return {
    dialect: settings.dialect,
    simName: sim.uniqueName,
    link: settings.path,
    get path() {
      return port.path();
    },
    status: () => ({
      dialect: settings.dialect,
      sim: sim.uniqueName,
      path: port.path() ?? null,
      link: settings.path ?? null,
      baud: settings.baud,
      registration: core?.registration() ?? 'idle',
      attached: core?.attached() ?? false,
      simStatus: persistent.sim,
      dbm: persistent.dbm ?? null,
      plugged: absence.isPlugged(),
      sockets: core?.sockets() ?? [],
    }),
    faults: () => ({ faults, seed }),
    setFaults(input: ModemFaultsInput, nextSeed = seed) {
      checkSeed(nextSeed);
      faults = resolveModemFaults(input);
      seed = nextSeed;
      sampler = createSampler(seed);
      said = 0;
      heard = 0;
      onEvent({ what: 'faults', faults: formatModemFaults(faults), seed });
    },
    setRegistration(registration: Registration) {
      persistent.network = registration;
      core?.refresh();
    },
    setSignal(dbm) {
      persistent.dbm = dbm;
    },
    setSim(status: SimStatus) {
      persistent.sim = status;
      persistent.locks = status === 'pin' || status === 'puk';
      core?.refresh();
    },
    dropContext: () => core?.dropContext(),
    closeSocket: (id) => core?.closeSocket(id) ?? false,
    sendGarbage: (bytes) => output.emit({ kind: 'noise', bytes: bytes ?? garbage(() => sampler.random('noise')) }),
    sendUrc: (text) => emit({ kind: 'urc', bytes: Buffer.from(`\r\n${text}\r\n`, 'latin1') }),
    reset: () => (absence.isPlugged() ? restart('it was reset', 0) : Promise.resolve()),
    unplug() {
      const gone = absence.unplug();
      void restart('it was unplugged', 0);
      return gone;
    },
    async plug() {
      absence.plug();
      await restarting;
    },
    receive(localPort, datagram) {
      const taken = core?.receive(localPort, datagram) ?? false;
      onEvent({ what: 'received', port: localPort, bytes: datagram.bytes.length, taken });
      return taken;
    },
    async stop() {
      stopped = true;
      absence.close();
      await restarting;
      core?.off();
      await vanish();
    },
  };
}

const pause = (ms: number) => new Promise<void>((resolve) => setTimeout(resolve, ms));
