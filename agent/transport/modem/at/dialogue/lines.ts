import type { LineMeaning } from '../grammar.js';
import { answers, isEcho, isFinal, isRegistrationUrc, isReset, isUrc } from '../result-codes.js';
import { closeSocket, type DialogueState, emit, emitDiscarded, emitInformation } from './dialogue-state.js';
import { hasSent, isQuestion } from './in-flight.js';
import { takeResult } from './results.js';

/** Reads one line of a modem: an echo, a final result, a line of an answer, a URC, or nothing that can be used. */
export function takeLine(state: DialogueState, line: string): void {
  const { grammar, modem, inFlight } = state;
  const { words } = grammar;
  const isResult = isFinal(line, words);
  const meaning = isEcho(line) || isResult ? undefined : grammar.meaning(line, modem, inFlight?.action);
  if (isOwnEcho(state, line)) return;
  if (isEcho(line)) emitDiscarded(state, line, 'foreign-echo');
  else if (isResult) takeResult(state, line);
  else if (meaning !== undefined) takeMeaning(state, line, meaning);
  else if (isReset(line)) takeReset(state, line);
  else if (isAnswer(state, line)) emitInformation(state, line);
  else if (isUrc(line)) emit(state, { kind: 'urc', line });
  else emitDiscarded(state, line, 'unknown-line');
}

function isOwnEcho({ inFlight, echoes }: DialogueState, line: string): boolean {
  if (inFlight !== undefined && line.trim() === inFlight.command) inFlight.echoed = true;
  return echoes.isOfCommand(line);
}

function isAnswer({ inFlight, grammar }: DialogueState, line: string): boolean {
  const parts = inFlight?.parts ?? [];
  return answers(parts, line, grammar.words) && !(isRegistrationUrc(line) && parts.some(({ form }) => form === '?'));
}

function takeMeaning(state: DialogueState, line: string, meaning: LineMeaning): void {
  const { inFlight, modem, reassembly } = state;
  switch (meaning.type) {
    case 'pending': {
      const { sockets, bytes } = meaning;
      for (const socket of sockets) {
        emit(state, { kind: 'pending', socket, ...(bytes !== undefined && { bytes }) });
      }
      break;
    }
    case 'counted': {
      const { socket, bytes } = meaning;
      emitInformation(state, line);
      if (bytes > 0) emit(state, { kind: 'pending', socket, bytes, asked: true });
      else reassembly.flush(socket);
      break;
    }
    case 'empty':
      emitInformation(state, line);
      reassembly.flush(meaning.socket);
      break;
    case 'opened':
      takeOpened(state, line, meaning);
      break;
    case 'closed':
      if (isQuestion(inFlight)) emitInformation(state, line);
      else closeSocket(state, meaning.socket);
      break;
    case 'sent':
      takeConfirmation(state, line, meaning);
      break;
    case 'source':
      modem.source = meaning.endpoint;
      break;
    case 'detail':
      if (inFlight !== undefined) inFlight.detail = line;
      emitInformation(state, line);
      break;
    case 'information':
      emitInformation(state, line);
      break;
    case 'urc':
      emit(state, { kind: 'urc', line, ...(meaning.loss && { loss: meaning.loss }) });
      break;
    case 'garbage':
      emitDiscarded(state, line, 'bad-header');
  }
}

function takeOpened(
  state: DialogueState,
  line: string,
  { socket, error }: Extract<LineMeaning, { type: 'opened' }>,
): void {
  const { inFlight, sockets } = state;
  if (isQuestion(inFlight)) {
    emitInformation(state, line);
    return;
  }
  const action = inFlight?.action?.type === 'open' ? inFlight.action : undefined;
  if (action !== undefined) inFlight?.lines.push(line);
  if (error === undefined) sockets.opened(socket, action?.state);
  else sockets.notOpened(socket, action?.state);
  emit(state, { kind: 'opened', socket, ...(error !== undefined && { error }) });
}

function takeConfirmation(state: DialogueState, line: string, meaning: Extract<LineMeaning, { type: 'sent' }>): void {
  const { inFlight, unconfirmed } = state;
  const { socket, error } = meaning;
  if (inFlight !== undefined && hasSent(inFlight, socket)) {
    inFlight.confirmed = meaning;
    inFlight.lines.push(line);
  } else if (unconfirmed.delete(socket) || error !== undefined) {
    emit(state, { kind: 'sent', socket, ...(error !== undefined && { error }) });
  } else {
    emit(state, { kind: 'urc', line });
  }
}

/** The modem has restarted: its sockets and settings are lost. */
function takeReset(state: DialogueState, line: string): void {
  const { modem, unconfirmed, reassembly } = state;
  modem.sockets.clear();
  modem.hex = false;
  modem.manual = undefined;
  modem.payloadEcho = undefined;
  unconfirmed.clear();
  reassembly.flushAll();
  emit(state, { kind: 'urc', line, loss: 'reset' });
}
