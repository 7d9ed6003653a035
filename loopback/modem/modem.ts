import { milliseconds } from '../../shared/duration.js';
import type { Sim } from '../account/sims.js';
import type { Endpoint } from '../network/network.js';
import type { OutputUnit } from './at/output-unit.js';
import { newPersistentState, type PersistentState } from './cellular.js';
import { systemClock } from './clock.js';
import { createCore } from './core.js';
import type { Received } from './dialects/dialect.js';
import { resolveDialect } from './dialects/index.js';
import type { ModemEvent } from './events.js';
import { createCommandFaults } from './faults/command-faults.js';
import { createModemFaultState, type ModemFaultState } from './faults/fault-state.js';
import { createOutput, garbage, type Output } from './faults/output.js';
import { createPowerCycle, type PowerCycle } from './power-cycle.js';
import { createSerialLine, type SerialLine } from './serial-line.js';
import { checkSeed, type ModemSettings } from './settings.js';
import type { LoopbackModem, ModemStatus } from './status.js';

/** Time for the host to read the answer to a command that restarts the modem. */
const ANSWER_MS = 100;

export interface VirtualModemOptions {
  readonly settings: ModemSettings;
  readonly sim: Sim;
  readonly seed: number;
  readonly transmit: (bytes: Buffer, port: number, destination: Endpoint) => void;
  readonly onAttached: (attached: boolean) => void;
  readonly onEvent: (event: ModemEvent) => void;
  readonly onError: (message: string) => void;
}

/** The virtual modem as the loopback uses it. */
export interface Modem extends LoopbackModem {
  /** Delivers a datagram from the network. Returns whether a socket of the modem takes it. */
  receive(port: number, datagram: Received): boolean;
  stop(): Promise<void>;
}

/** The parts of a running modem. */
interface Parts {
  readonly persistent: PersistentState;
  readonly faults: ModemFaultState;
  readonly line: SerialLine;
  readonly output: Output;
  readonly power: PowerCycle;
  /** Prints in the host's direction. */
  readonly emit: (unit: OutputUnit) => void;
}

/**
 * Switches a virtual modem on: a tty, and a SIM on the loopback's network.
 *
 * @throws SupersimError `pty-missing`, or `bad-input` for settings that cannot be used
 */
export async function startModem(options: VirtualModemOptions): Promise<Modem> {
  const { settings, sim, onEvent } = options;
  const parts = createParts(options);
  const { power, line } = parts;
  options.onAttached(false);
  await power.start();
  return {
    dialect: settings.dialect,
    simName: sim.uniqueName,
    link: settings.path,
    get path() {
      return line.path();
    },
    status: () => statusOf(options, parts),
    ...controlsOf(parts),
    receive(port, datagram) {
      const taken = power.core()?.receive(port, datagram) ?? false;
      onEvent({ what: 'received', port, bytes: datagram.bytes.length, taken });
      return taken;
    },
    stop: power.stop,
  };
}

function createParts(options: VirtualModemOptions): Parts {
  const { settings, sim, onEvent, onAttached } = options;
  const clock = systemClock;
  const dialect = resolveDialect(settings.dialect, settings.quirks);
  const persistent = newPersistentState(identityOf(sim));
  const faults = createModemFaultState(settings.faults, settings.seed ?? options.seed, (written, seed) => {
    line.resetCounts();
    onEvent({ what: 'faults', faults: written, seed });
  });
  const line = createSerialLine({
    clock,
    baud: settings.baud,
    link: settings.path,
    faults,
    onInput: (bytes) => power.core()?.input(bytes),
    onReset: (why, afterMs) => void power.restart(why, afterMs),
    onLost: () => void power.restart('the terminal was closed', 0),
    onUsers: (pids) => onEvent({ what: 'users', pids }),
  });
  const output = createOutput({
    clock,
    faults: faults.faults,
    sampler: faults.sampler,
    idleUrc: () => power.core()?.idleUrc ?? '',
    write: line.write,
    onHit: (fault, bytes) => onEvent({ what: 'fault', fault, text: bytes.toString('latin1').trim() }),
  });
  const commandFaults = createCommandFaults({
    faults: faults.faults,
    sampler: faults.sampler,
    onHit: (fault, text) => onEvent({ what: 'fault', fault, text }),
  });

  function emit(unit: OutputUnit): void {
    if (unit.kind === 'urc') {
      const [text = ''] = unit.bytes.toString('latin1').trim().split('\r\n');
      onEvent({ what: 'urc', text });
    }
    output.emit(unit);
  }

  const power = createPowerCycle({
    clock,
    line,
    awayMs: () => milliseconds(faults.faults().away),
    createCore: () =>
      createCore({
        clock,
        persistent,
        dialect,
        emit,
        transmit(bytes, port, destination) {
          onEvent({ what: 'sent', port, destination, bytes: bytes.length });
          options.transmit(bytes, port, destination);
        },
        faults: commandFaults,
        onRestart: () => void power.restart('requested by the host', ANSWER_MS),
        onAttached,
        onCommand: (command, result) => onEvent({ what: 'command', command, result }),
        onRegistration: (registration) => onEvent({ what: 'registration', registration }),
        onNote: (text) => onEvent({ what: 'note', text }),
      }),
    onRestart: faults.disarmResets,
    clearOutput: output.clear,
    onAttached,
    onEvent,
    onError: options.onError,
  });
  return { persistent, faults, line, output, power, emit };
}

function identityOf({ address, iccid }: Sim) {
  const digits = iccid.slice(-9);
  return { address, iccid, imei: `863427${digits}`, imsi: `732123${digits}` };
}

function statusOf({ settings, sim }: VirtualModemOptions, { persistent, line, power }: Parts): ModemStatus {
  const core = power.core();
  return {
    dialect: settings.dialect,
    sim: sim.uniqueName,
    path: line.path() ?? null,
    link: settings.path ?? null,
    baud: settings.baud,
    registration: core?.registration() ?? 'idle',
    attached: core?.attached() ?? false,
    simStatus: persistent.sim,
    dbm: persistent.dbm ?? null,
    plugged: power.isPlugged(),
    sockets: core?.sockets() ?? [],
  };
}

/** The methods by which tests and users change the modem. */
function controlsOf({ persistent, faults, output, power, emit }: Parts) {
  return {
    faults: () => ({ faults: faults.faults(), seed: faults.seed() }),
    setFaults(input, seed = faults.seed()) {
      checkSeed(seed);
      faults.set(input, seed);
    },
    setRegistration(registration) {
      persistent.network = registration;
      power.core()?.refresh();
    },
    setSignal(dbm) {
      persistent.dbm = dbm;
    },
    setSim(status) {
      persistent.sim = status;
      persistent.pinEnabled = status === 'pin' || status === 'puk';
      power.core()?.refresh();
    },
    dropContext: () => power.core()?.dropContext(),
    closeSocket: (id) => power.core()?.closeSocket(id) ?? false,
    sendGarbage: (bytes) =>
      output.emit({ kind: 'noise', bytes: bytes ?? garbage(() => faults.sampler().random('noise')) }),
    sendUrc: (text) => emit({ kind: 'urc', bytes: Buffer.from(`\r\n${text}\r\n`, 'latin1') }),
    reset: () => (power.isPlugged() ? power.restart('reset', 0) : Promise.resolve()),
    unplug: power.unplug,
    plug: power.plug,
  } satisfies Partial<LoopbackModem>;
}
