import type { Header } from '../parser.js';
import { readsLikeAnswer } from '../result-codes.js';
import { type DialogueState, emit } from './dialogue-state.js';

/** Reads the payload behind a header: a datagram, or a part of one. */
export function takePayload(state: DialogueState, header: Header, bytes: Buffer): void {
  const { inFlight, grammar, modem, sockets, reassembly } = state;
  if (header.from === 'read' && inFlight !== undefined) inFlight.payloads++;
  const { socket, source } = sockets.sourceOf(header);
  const partial = grammar.joinAt?.(modem) === bytes.length;
  if (socket === null) emit(state, { kind: 'datagram', socket, source, bytes });
  else reassembly.take(socket, source, bytes, partial);
}

/**
 * Skips the echo of the payload that was written, if the modem echoes it. Otherwise a payload that reads like an answer
 * would swallow the answer.
 */
export function expectEcho({ inFlight, modem, grammar, parser }: DialogueState): void {
  if (inFlight?.written === undefined || !inFlight.prompted) return;
  const certain = modem.payloadEcho ?? inFlight.echoed;
  const possible = grammar.echoesPayloads && (inFlight.echoed || modem.payloadEcho === undefined);
  if (certain || (possible && !readsLikeAnswer(inFlight.written, grammar.words))) parser.expectEcho(inFlight.written);
}

/** Keeps the echo of a payload that reads like an answer: it is read as one if no answer comes. */
export function takePayloadEcho({ inFlight, grammar }: DialogueState, bytes: Buffer): void {
  if (inFlight !== undefined && readsLikeAnswer(bytes, grammar.words)) inFlight.likeAnswer = bytes;
}
