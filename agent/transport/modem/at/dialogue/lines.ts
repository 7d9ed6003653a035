import type { LineMeaning } from '../grammar.js';
import { answers, isEcho, isFinal, isRegistrationUrc, isReset, isUrc } from '../result-codes.js';
import { type Conversation, closeSocket, emit, emitDiscarded, emitInformation } from './conversation.js';
import { hasSent, isQuestion } from './in-flight.js';
import { takeResult } from './results.js';

/** Reads one line of a modem: an echo, a final result, a line of an answer, a URC, or nothing that can be used. */
export function takeLine(conversation: Conversation, line: string): void {
  const { grammar, modem, inFlight } = conversation;
  const { words } = grammar;
  const isResult = isFinal(line, words);
  const meaning = isEcho(line) || isResult ? undefined : grammar.meaning(line, modem, inFlight?.action);
  if (isOwnEcho(conversation, line)) return;
  if (isEcho(line)) emitDiscarded(conversation, line, 'foreign-echo');
  else if (isResult) takeResult(conversation, line);
  else if (meaning !== undefined) takeMeaning(conversation, line, meaning);
  else if (isReset(line)) takeReset(conversation, line);
  else if (isAnswer(conversation, line)) emitInformation(conversation, line);
  else if (isUrc(line)) emit(conversation, { kind: 'urc', line });
  else emitDiscarded(conversation, line, 'unknown-line');
}

function isOwnEcho({ inFlight, echoes }: Conversation, line: string): boolean {
  if (inFlight !== undefined && line.trim() === inFlight.command) inFlight.echoed = true;
  return echoes.isOfCommand(line);
}

function isAnswer({ inFlight, grammar }: Conversation, line: string): boolean {
  const parts = inFlight?.parts ?? [];
  return answers(parts, line, grammar.words) && !(isRegistrationUrc(line) && parts.some(({ form }) => form === '?'));
}

function takeMeaning(conversation: Conversation, line: string, meaning: LineMeaning): void {
  const { inFlight, modem, reassembly } = conversation;
  switch (meaning.type) {
    case 'pending': {
      const { sockets, bytes } = meaning;
      for (const socket of sockets) {
        emit(conversation, { kind: 'pending', socket, ...(bytes !== undefined && { bytes }) });
      }
      break;
    }
    case 'counted': {
      const { socket, bytes } = meaning;
      emitInformation(conversation, line);
      if (bytes > 0) emit(conversation, { kind: 'pending', socket, bytes, asked: true });
      else reassembly.flush(socket);
      break;
    }
    case 'empty':
      emitInformation(conversation, line);
      reassembly.flush(meaning.socket);
      break;
    case 'opened':
      takeOpened(conversation, line, meaning);
      break;
    case 'closed':
      if (isQuestion(inFlight)) emitInformation(conversation, line);
      else closeSocket(conversation, meaning.socket);
      break;
    case 'sent':
      takeConfirmation(conversation, line, meaning);
      break;
    case 'source':
      modem.source = meaning.endpoint;
      break;
    case 'detail':
      if (inFlight !== undefined) inFlight.detail = line;
      emitInformation(conversation, line);
      break;
    case 'information':
      emitInformation(conversation, line);
      break;
    case 'urc':
      emit(conversation, { kind: 'urc', line, ...(meaning.loss && { loss: meaning.loss }) });
      break;
    case 'garbage':
      emitDiscarded(conversation, line, 'bad-header');
  }
}

function takeOpened(
  conversation: Conversation,
  line: string,
  { socket, error }: Extract<LineMeaning, { type: 'opened' }>,
): void {
  const { inFlight, sockets } = conversation;
  if (isQuestion(inFlight)) {
    emitInformation(conversation, line);
    return;
  }
  const action = inFlight?.action?.type === 'open' ? inFlight.action : undefined;
  if (action !== undefined) inFlight?.lines.push(line);
  if (error === undefined) sockets.opened(socket, action?.state);
  else sockets.notOpened(socket, action?.state);
  emit(conversation, { kind: 'opened', socket, ...(error !== undefined && { error }) });
}

function takeConfirmation(
  conversation: Conversation,
  line: string,
  meaning: Extract<LineMeaning, { type: 'sent' }>,
): void {
  const { inFlight, unconfirmed } = conversation;
  const { socket, error } = meaning;
  if (inFlight !== undefined && hasSent(inFlight, socket)) {
    inFlight.confirmed = meaning;
    inFlight.lines.push(line);
  } else if (unconfirmed.delete(socket) || error !== undefined) {
    emit(conversation, { kind: 'sent', socket, ...(error !== undefined && { error }) });
  } else {
    emit(conversation, { kind: 'urc', line });
  }
}

/** The modem has restarted: its sockets and settings are lost. */
function takeReset(conversation: Conversation, line: string): void {
  const { modem, unconfirmed, reassembly } = conversation;
  modem.sockets.clear();
  modem.hex = false;
  modem.manual = undefined;
  modem.payloadEcho = undefined;
  unconfirmed.clear();
  reassembly.flushAll();
  emit(conversation, { kind: 'urc', line, loss: 'reset' });
}
