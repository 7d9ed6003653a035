import { createDialogue } from '../at/dialogue/dialogue.js';
import type { Grammar } from '../at/grammar.js';
import { HEX_SENDS } from '../dialects/index.js';
import { createHostReader, type LogChunk } from './log-reader.js';

/**
 * Replaces each byte of a payload: `F`. It is a hexadecimal digit, as payloads may be written so, and neither a decimal
 * digit, which could be read as part of the count before it, nor a line end or prompt. So the log reads as before.
 */
const MASK = 0x46;
const CR = 0x0d;
const LF = 0x0a;
const CTRL_Z = 0x1a;
const ESC = 0x1b;
const COMMAND = /^AT[ -~]*\r$/i;
/** The parts of a command that are hidden: the SIM's PIN, and payloads in hexadecimal. */
const SECRETS = new RegExp(
  [
    /(?<=AT\+(?:CPIN=|CLCK="SC",\d,|CPWD="SC",)[^\r]*)\d/.source,
    `(?<=AT(?:${HEX_SENDS.map((verb) => `\\${verb}`).join('|')})=[^\\r]*,")[0-9a-f]+(?=")`,
  ].join('|'),
  'gi',
);

/**
 * Masks the payloads in a log of AT traffic. The log keeps its length and reads the same except for the bytes of the
 * datagrams. What precedes the first complete command is left out, as it may be the rest of a payload.
 */
export function createPayloadMask(grammars: readonly Grammar[]) {
  let markers = grammars.map(createMarker);
  let begun = false;
  return {
    /** Returns the masked chunk; undefined for one that is left out. */
    hide({ at, direction, bytes }: LogChunk): LogChunk | undefined {
      begun ||= direction === 'tx' && COMMAND.test(bytes.toString('latin1'));
      if (!begun) return undefined;
      const hidden = Buffer.from(bytes.toString('latin1').replace(SECRETS, masked), 'latin1');
      for (const mark of markers) mark(direction, bytes, hidden);
      return { at, direction, bytes: hidden };
    },
    /** LogChunks are missing. */
    restart(): void {
      markers = grammars.map(createMarker);
      begun = false;
    },
  };
}

const masked = (text: string): string => String.fromCharCode(MASK).repeat(text.length);

/** Follows a log in one dialect, and overwrites payload bytes. */
function createMarker(grammar: Grammar) {
  const dialogue = createDialogue(grammar);
  const host = createHostReader(dialogue);
  let written: number[] = [];
  /** Number of these bytes that were echoed; undefined without an echo. */
  let echoed: number | undefined;

  function markWritten(bytes: Buffer, hidden: Buffer): void {
    for (const [index, byte] of bytes.entries()) {
      const awaited = dialogue.awaitedPayload();
      const isEnd = awaited?.bytes === 'ctrl-z' && (byte === CTRL_Z || byte === ESC);
      const isPayload = awaited?.prompted === true && !isEnd;
      host.write(bytes.subarray(index, index + 1));
      if (isPayload) {
        hidden[index] = MASK;
        written.push(byte);
        echoed = 0;
      } else if (dialogue.awaitedPayload() !== undefined) {
        written = [];
      }
    }
  }

  function markReceived(bytes: Buffer, hidden: Buffer): void {
    for (const [index, byte] of bytes.entries()) {
      const isPayload = dialogue.inPayload();
      const events = dialogue.receive(bytes.subarray(index, index + 1));
      const hasBegun = !isPayload && (dialogue.inPayload() || events.some(({ kind }) => kind === 'datagram'));
      if (isPayload || isEchoed(byte)) hidden[index] = MASK;
      else if (hasBegun) hidden.fill(MASK, endOfHeader(bytes, index), index + 1);
    }
  }

  /** An echo that begins with a line end is not recognised as one. */
  function isEchoed(byte: number): boolean {
    if (echoed === 0 && (byte === CR || byte === LF)) return false;
    const isEcho = echoed !== undefined && byte === written[echoed];
    echoed = isEcho && echoed !== undefined ? echoed + 1 : undefined;
    return isEcho;
  }

  return (direction: LogChunk['direction'], bytes: Buffer, hidden: Buffer): void =>
    direction === 'tx' ? markWritten(bytes, hidden) : markReceived(bytes, hidden);
}

/** Returns where the payload begins that was recognised at this byte: mostly after it, sometimes a little before. */
function endOfHeader(bytes: Buffer, index: number): number {
  const head = bytes.toString('latin1', 0, index + 1);
  return Math.max(...['\n', '\r', ',', '"'].map((end) => head.lastIndexOf(end))) + 1;
}
