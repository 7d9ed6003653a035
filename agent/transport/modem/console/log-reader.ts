import { createDialogue, type Dialogue } from '../at/dialogue/dialogue.js';
import type { Grammar } from '../at/grammar.js';
import type { ModemEvent } from '../at/modem-event.js';
import { PAYLOAD_IDLE_MS } from '../at/parser.js';

/** Longest command that is buffered; hexadecimal sends are the longest. */
const MAX_COMMAND = 4096;
const CR = 0x0d;
const LF = 0x0a;
const CTRL_Z = 0x1a;
const ESC = 0x1b;
/** Skipped before a command: line ends, and what some hosts write after a payload. */
const BETWEEN: readonly number[] = [0, CR, LF, CTRL_Z, ESC, 0x20];
/** The command at the end of a line, which may follow the rest of a payload that the modem refused. */
const COMMAND = /^AT.*$|AT(?:[+&#%$^*].{2,}|[EZVI]\d?|)$/i;

/** A chunk of a log: bytes that went one way. The boundaries between chunks carry no meaning. */
export interface LogChunk {
  /** Milliseconds, of any clock. */
  readonly at: number;
  readonly direction: 'tx' | 'rx';
  readonly bytes: Buffer;
}

/** Reads a log of what a host and a modem sent each other. */
export function createLogReader(grammar: Grammar) {
  const dialogue = createDialogue(grammar);
  const host = createHostReader(dialogue);
  let lastReceivedAt = Number.NaN;
  return {
    read({ at, direction, bytes }: LogChunk): ModemEvent[] {
      if (direction === 'tx') return host.write(bytes);
      const isLate = dialogue.inPayload() && at - lastReceivedAt > PAYLOAD_IDLE_MS;
      lastReceivedAt = at;
      return isLate ? [...dialogue.abandonIncomplete(), ...dialogue.receive(bytes)] : dialogue.receive(bytes);
    },
    end: (): ModemEvent[] => dialogue.end(),
  };
}

/**
 * Splits what a host wrote to a modem, in any chunking, into commands and the payloads that belong to them, and hands
 * each to the dialogue.
 */
export function createHostReader(dialogue: Dialogue) {
  let command: number[] = [];
  let payload: number[] = [];

  /** Before the prompt only its first letters tell the next command from a payload; undefined if more are needed. */
  function startsCommand(): boolean | undefined {
    const start = Buffer.from(command.slice(0, 2)).toString('latin1').toUpperCase();
    return start === 'AT' ? true : start === 'A' ? undefined : false;
  }

  function take(byte: number): ModemEvent[] {
    const awaited = dialogue.awaitedPayload();
    if (awaited === undefined || payload.length === 0) {
      if (awaited === undefined) payload = [];
      if (awaited?.prompted !== true) return takeOfCommand(byte, awaited !== undefined);
    }
    // What was taken for the beginning of a command before the prompt belongs to the payload.
    payload.push(...command, byte);
    command = [];
    return endPayload(awaited?.bytes);
  }

  function takeOfCommand(byte: number, maybePayload: boolean): ModemEvent[] {
    if (command.length === 0 && !maybePayload && BETWEEN.includes(byte)) {
      dialogue.control(byte);
      return [];
    }
    if (byte === CR || byte === LF) {
      const text = Buffer.from(command).toString('latin1').trim();
      if (!maybePayload || startsCommand() === true) {
        command = [];
        const start = text.search(COMMAND);
        return start < 0 ? [] : dialogue.command(text.slice(start));
      }
    }
    if (command.length < MAX_COMMAND) command.push(byte);
    if (!maybePayload || startsCommand() !== false) return [];
    payload = command;
    command = [];
    return endPayload(dialogue.awaitedPayload()?.bytes);
  }

  function endPayload(expected: number | 'ctrl-z' | undefined): ModemEvent[] {
    const last = payload.at(-1);
    const whole = expected === 'ctrl-z' ? last === CTRL_Z || last === ESC : payload.length === expected;
    if (!whole && payload.length < MAX_COMMAND) return [];
    const bytes = Buffer.from(expected === 'ctrl-z' ? payload.slice(0, -1) : payload);
    payload = [];
    if (expected === 'ctrl-z' && last !== undefined) dialogue.control(last);
    return dialogue.payload(bytes);
  }

  return {
    write: (bytes: Buffer): ModemEvent[] => [...bytes].flatMap(take),
  };
}
