import type { Dialogue } from '../at/dialogue.js';
import type { Notice } from '../at/modem-event.js';

/** Longest command that is gathered; hexadecimal sends are the longest. */
const MAX_COMMAND = 4096;
const CR = 0x0d;
const LF = 0x0a;
const CTRL_Z = 0x1a;
const ESC = 0x1b;
/** Passed over before a command: ends of lines, and what some hosts write behind a payload. */
const BETWEEN: readonly number[] = [0, CR, LF, CTRL_Z, ESC, 0x20];
/** The command at the end of a line; before it may be what is left of a payload that the modem had refused. */
const COMMAND = /^AT.*$|AT(?:[+&#%$^*].{2,}|[EZVI]\d?|)$/i;

/**
 * Reads what a host wrote to a modem, in any chunking: commands, and the payloads that belong to them. The dialogue
 * is told of each.
 */
export function createHostSide(dialogue: Dialogue) {
  let command: number[] = [];
  let payload: number[] = [];

  /** Not yet asked for, a payload cannot be told from the next command but by its first letters. */
  function startsCommand(): boolean | undefined {
    const start = Buffer.from(command.slice(0, 2)).toString('latin1').toUpperCase();
    return start === 'AT' ? true : start === 'A' ? undefined : false;
  }

  function take(byte: number): Notice[] {
    const awaited = dialogue.awaited();
    if (awaited === undefined || payload.length === 0) {
      if (awaited === undefined) payload = [];
      if (awaited?.prompted !== true) return takeOfCommand(byte, awaited !== undefined);
    }
    // What was taken for the beginning of a command before the prompt came is a payload's.
    payload.push(...command, byte);
    command = [];
    return endPayload(awaited?.bytes);
  }

  function takeOfCommand(byte: number, maybePayload: boolean): Notice[] {
    if (command.length === 0 && !maybePayload && BETWEEN.includes(byte)) {
      dialogue.wrote(byte);
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
    return endPayload(dialogue.awaited()?.bytes);
  }

  function endPayload(expected: number | 'ctrl-z' | undefined): Notice[] {
    const last = payload.at(-1);
    const whole = expected === 'ctrl-z' ? last === CTRL_Z || last === ESC : payload.length === expected;
    if (!whole && payload.length < MAX_COMMAND) return [];
    const bytes = Buffer.from(expected === 'ctrl-z' ? payload.slice(0, -1) : payload);
    payload = [];
    if (expected === 'ctrl-z' && last !== undefined) dialogue.wrote(last);
    return dialogue.payload(bytes);
  }

  return {
    write: (bytes: Buffer): Notice[] => [...bytes].flatMap(take),
  };
}
