import { newPersistentState } from '../../../loopback/modem/cellular.js';
import type { ModemClock } from '../../../loopback/modem/clock.js';
import { createCore } from '../../../loopback/modem/core.js';
import { type DialectName, type Quirks, resolveDialect } from '../../../loopback/modem/dialects/index.js';
import { createCommandFaults } from '../../../loopback/modem/faults/command-faults.js';
import { type ModemFaultsInput, resolveModemFaults } from '../../../loopback/modem/faults/faults.js';
import { createOutput } from '../../../loopback/modem/faults/output.js';
import { createSampler } from '../../../loopback/modem/faults/sampler.js';

/**
 * A payload of all that trips a parser (docs/vendor-facts.md, "AT: payload framing"): NUL, Ctrl-Z, ESC, line ends,
 * `OK`, a URC's beginning and a prompt.
 */
export const P12 = '\x00\x1a\x1b\r\nOK\r\n+Q>';
export const GATEWAY = { address: '100.64.0.1', port: 6969 };
/** Longer than every delay but time-outs. */
export const SOON_MS = 900;

/** A clock that the test advances; due tasks run in the order of their times. */
export function testClock() {
  let time = 0;
  let tasks: { at: number; task: () => void }[] = [];
  const clock: ModemClock = {
    now: () => time,
    after(ms, task) {
      const entry = { at: time + ms, task };
      tasks.push(entry);
      return () => {
        tasks = tasks.filter((other) => other !== entry);
      };
    },
  };
  return {
    clock,
    pass(ms: number): void {
      const end = time + ms;
      for (;;) {
        const [next] = tasks.filter(({ at }) => at <= end).sort((a, b) => a.at - b.at);
        if (next === undefined) break;
        tasks = tasks.filter((entry) => entry !== next);
        time = Math.max(time, next.at);
        next.task();
      }
      time = end;
    },
  };
}

export interface TestModemOptions {
  readonly quirks?: Quirks;
  readonly faults?: ModemFaultsInput;
  readonly seed?: number;
  readonly iccid?: string;
  /** Return the modem just switched on, with echo. */
  readonly fresh?: boolean;
}

/** Makes a modem's core with its output but without a tty: strings in and out, one character per byte. */
export function testModem(
  dialect: DialectName,
  { quirks, faults = {}, seed = 1, iccid = '89883070000001234567', fresh = false }: TestModemOptions = {},
) {
  const { clock, pass } = testClock();
  const persistent = newPersistentState({
    address: '10.1.2.3',
    iccid,
    imei: '863427000000017',
    imsi: '732123000000017',
  });
  let resolved = resolveModemFaults(faults);
  let sampler = createSampler(seed);
  const chunks: string[] = [];
  const sent: { bytes: string; port: number; destination: { address: string; port: number } }[] = [];
  const attached: boolean[] = [];
  const notes: string[] = [];
  let restarts = 0;
  const output = createOutput({
    clock,
    faults: () => resolved,
    sampler: () => sampler,
    idleUrc: () => core.idleUrc,
    write: (chunk) => chunks.push(chunk.toString('latin1')),
    onHit: () => undefined,
  });
  const core = createCore({
    clock,
    persistent,
    dialect: resolveDialect(dialect, quirks),
    emit: output.emit,
    transmit: (bytes, port, destination) => void sent.push({ bytes: bytes.toString('latin1'), port, destination }),
    faults: createCommandFaults({ faults: () => resolved, sampler: () => sampler, onHit: () => undefined }),
    onRestart: () => {
      restarts += 1;
    },
    onAttached: (now) => attached.push(now),
    onCommand: () => undefined,
    onRegistration: () => undefined,
    onNote: (text) => notes.push(text),
  });

  /** Returns the output since the last call. */
  const printed = () => chunks.splice(0).join('');
  const write = (text: string) => core.input(Buffer.from(text, 'latin1'));
  const modem = {
    core,
    persistent,
    sent,
    attached,
    notes,
    pass,
    printed,
    chunks,
    write,
    restarts: () => restarts,
    setFaults(next: ModemFaultsInput) {
      resolved = resolveModemFaults(next);
      sampler = createSampler(seed);
    },
    /** Writes `text` and returns the immediate output. */
    ask(text: string): string {
      write(text);
      return printed();
    },
    /** Writes `text` and returns the output of the next 900 ms. */
    askAndWait(text: string): string {
      write(text);
      pass(SOON_MS);
      return printed();
    },
    /** Runs a command line and returns its output. */
    at: (command: string) => modem.askAndWait(`${command}\r`),
    receive: (text: string, port = 6969, source = GATEWAY) =>
      core.receive(port, { bytes: Buffer.from(text, 'latin1'), source }),
  };
  if (!fresh) {
    pass(SOON_MS);
    for (let line = 0; line < 4; line += 1) write('ATE0\r');
    pass(SOON_MS);
    printed();
  }
  return modem;
}

export type TestModem = ReturnType<typeof testModem>;

export const OK = '\r\nOK\r\n';
export const ERROR = '\r\nERROR\r\n';
export const line = (text: string) => `\r\n${text}\r\n`;
