import type { Endpoint } from '../network/network.js';
import { formatCme } from './at/cme-errors.js';
import { createInterpreter } from './at/interpreter.js';
import { framed, type OutputUnit } from './at/output-unit.js';
import { createCellular, type PersistentState, REGISTRATIONS, type Registration } from './cellular.js';
import type { ModemClock } from './clock.js';
import type { DialectContext, Received, SocketView } from './dialects/dialect.js';
import type { DialectBuilder } from './dialects/index.js';
import { newStandardSettings, registrationDetails, standardCommands } from './dialects/standard-commands.js';

/** The faults that change how commands are run. */
export interface CommandFaults {
  /** Returns the CME number with which a command (`AT…`) is refused, if it is. */
  refuse(text: string): number | undefined;
  sendIsBusy(): boolean;
  sendFails(): boolean;
  prompt(usual: string): string;
}

export interface CoreOptions {
  readonly clock: ModemClock;
  readonly persistent: PersistentState;
  readonly dialect: DialectBuilder;
  readonly faults: CommandFaults;
  readonly emit: (unit: OutputUnit) => void;
  readonly transmit: (bytes: Buffer, port: number, destination: Endpoint) => void;
  /** The host requested a restart. */
  readonly onRestart: () => void;
  readonly onAttached: (attached: boolean) => void;
  readonly onCommand: (command: string, result: string) => void;
  readonly onRegistration: (registration: Registration) => void;
  readonly onNote: (text: string) => void;
}

/** A modem between two restarts: bytes in, units of output out. */
export interface Core {
  input(bytes: Buffer): void;
  /** Delivers a datagram. Returns whether a socket takes it. */
  receive(port: number, datagram: Received): boolean;
  /** Applies a change of the SIM or the network. */
  refresh(): void;
  dropContext(): void;
  closeSocket(id: number | undefined): boolean;
  registration(): Registration;
  attached(): boolean;
  sockets(): readonly SocketView[];
  readonly idleUrc: string;
  /** Switches the modem off for good. */
  off(): void;
}

const POWER_UP_MS = 20;
const POWER_UP_NOISE = Buffer.from([0xff, 0xff, 0x00, 0xfe, 0xff]);
const REGISTRATION_COMMANDS = ['+CREG', '+CGREG', '+CEREG'];

/** Switches a modem on. */
export function createCore(options: CoreOptions): Core {
  const { persistent, faults } = options;
  let isOff = false;
  const clock: ModemClock = {
    now: options.clock.now,
    after: (ms, task) => options.clock.after(ms, () => !isOff && task()),
  };
  const emit = (unit: OutputUnit) => {
    if (!isOff) options.emit(unit);
  };
  const settings = newStandardSettings();

  const cellular = createCellular({
    clock,
    persistent,
    onUnlocked: () => context.urc('+CPIN: READY'),
    onRegistration(registration) {
      const registered = registration === 'home' || registration === 'roaming';
      for (const name of REGISTRATION_COMMANDS) {
        const mode = settings.registrationUrcs.get(name) ?? 0;
        const details = registrationDetails(mode, registered);
        if (mode > 0) context.urc(`${name}: ${REGISTRATIONS.indexOf(registration)}${details}`);
      }
      options.onRegistration(registration);
      options.onAttached(cellular.attached());
    },
    onDetach() {
      dialect.onContextLost();
      options.onAttached(false);
    },
  });

  const context: DialectContext = {
    clock,
    cellular,
    emit,
    urc: (text) => emit({ kind: 'urc', bytes: framed(text) }),
    delayedResult: (text) => emit({ kind: 'line', bytes: framed(text) }),
    echo: () => interpreter.echo,
    transmit(bytes, port, destination) {
      if (!cellular.attached()) return false;
      options.transmit(bytes, port, destination);
      return true;
    },
    sendIsBusy: faults.sendIsBusy,
    sendFails: faults.sendFails,
    prompt: faults.prompt,
    note: options.onNote,
    restart() {
      if (dialect.shutdownUrc !== undefined) emit({ kind: 'noise', bytes: framed(dialect.shutdownUrc) });
      options.onRestart();
    },
  };
  const dialect = options.dialect(context);
  const interpreter = createInterpreter({
    clock,
    emit,
    handler: (name) => commands.get(name),
    refuse: faults.refuse,
    formatCme: (code) => formatCme(code, settings.cmee),
    unknown: (answer) => (dialect.unknown === 'cme' ? answer.cme(100) : answer.error()),
    onResult: options.onCommand,
  });
  const standard = standardCommands(context, settings, dialect, interpreter.setEcho);
  const commands = new Map(Object.entries({ ...standard, ...dialect.commands }));

  // Noise of an undriven line, then the modem's own output.
  clock.after(POWER_UP_MS, () => emit({ kind: 'noise', bytes: POWER_UP_NOISE }));
  const readyAt = clock.now() + Math.min(...dialect.boot.map(({ at }) => at));
  let autobaudLines = dialect.autobaudLines ?? 0;
  for (const { at, bytes } of dialect.boot) clock.after(at, () => emit({ kind: 'noise', bytes }));

  return {
    input(bytes) {
      if (isOff || clock.now() < readyAt) return;
      let from = 0;
      while (autobaudLines > 0) {
        const end = bytes.indexOf(0x0d, from);
        if (end === -1) return;
        autobaudLines -= 1;
        from = end + 1;
      }
      interpreter.input(bytes.subarray(from));
    },
    receive: (port, datagram) => !isOff && cellular.attached() && dialect.receive(port, datagram),
    refresh: cellular.refresh,
    dropContext: dialect.onContextLost,
    closeSocket: dialect.closeSocket,
    registration: cellular.registration,
    attached: () => !isOff && cellular.attached(),
    sockets: dialect.sockets,
    idleUrc: dialect.idleUrc,
    off() {
      isOff = true;
    },
  };
}
