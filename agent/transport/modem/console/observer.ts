import { createDialogue } from '../at/dialogue.js';
import type { Grammar } from '../at/grammar.js';
import type { Notice } from '../at/modem-event.js';
import { PAYLOAD_IDLE_MS } from '../at/parser.js';
import { createHostSide } from './log-reader.js';

/** A piece of a log: bytes that went one way. Where one piece ends and the next begins means nothing. */
export interface Piece {
  /** Milliseconds, of any clock. */
  readonly at: number;
  readonly direction: 'tx' | 'rx';
  readonly bytes: Buffer;
}

/** Follows a host and a modem without a part in it. */
export function createObserver(grammar: Grammar) {
  const dialogue = createDialogue(grammar);
  const host = createHostSide(dialogue);
  let lastReceivedAt = Number.NaN;
  return {
    observe({ at, direction, bytes }: Piece): Notice[] {
      if (direction === 'tx') return host.write(bytes);
      const isLate = dialogue.inPayload() && at - lastReceivedAt > PAYLOAD_IDLE_MS;
      lastReceivedAt = at;
      return isLate ? [...dialogue.abandon(), ...dialogue.receive(bytes)] : dialogue.receive(bytes);
    },
    end: (): Notice[] => dialogue.end(),
  };
}
