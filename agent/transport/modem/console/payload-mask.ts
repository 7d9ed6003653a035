import { createDialogue } from '../at/dialogue/dialogue.js';
import type { Grammar } from '../at/grammar.js';
import { HEX_SENDS } from '../dialects/index.js';
import { createHostReader, type LogChunk } from './log-reader.js';

/**
 * Stands for each byte of a payload. A hexadecimal digit, as payloads may be written so, and no decimal one, which
 * could be read as part of the count before it; no end of a line and no prompt. So the log is read as before.
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
 * Hides the payloads in a log of AT traffic: it stays as long as it was, and reads the same but for the datagrams'
 * bytes. What comes before the first whole command is left out, as it may be the rest of a payload.
 */
export function createPayloadMask(grammars: readonly Grammar[]) {
  let markers = grammars.map(createMarker);
  let begun = false;
  return {
    /** Undefined for what is left out. */
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

/** Follows a log in one dialect, and overwrites what of it is payload. */
function createMarker(grammar: Grammar) {
  const dialogue = createDialogue(grammar);
  const host = createHostReader(dialogue);
  let written: number[] = [];
  /** How much of it has come back; undefined when it does not, or not any more. */
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

  /** An echo that begins like a line cannot be told from one. */
  function isEchoed(byte: number): boolean {
    if (echoed === 0 && (byte === CR || byte === LF)) return false;
    const isEcho = echoed !== undefined && byte === written[echoed];
    echoed = isEcho && echoed !== undefined ? echoed + 1 : undefined;
    return isEcho;
  }

  return (direction: LogChunk['direction'], bytes: Buffer, hidden: Buffer): void =>
    direction === 'tx' ? markWritten(bytes, hidden) : markReceived(bytes, hidden);
}

/** Where the payload begins that was known for one at this byte: mostly behind it, at times a little before. */
function endOfHeader(bytes: Buffer, index: number): number {
  const head = bytes.toString('latin1', 0, index + 1);
  return Math.max(...['\n', '\r', ',', '"'].map((end) => head.lastIndexOf(end))) + 1;
}
