import { type Conversation, closeSocket, emit } from './conversation.js';
import { type CommandInFlight, mayEnd, sendOutcome } from './in-flight.js';

/** Reads a final result: it ends the command in flight, unless it cannot be this command's. */
export function takeResult(conversation: Conversation, text: string): void {
  const { inFlight: ended, grammar, modem, parser, reassembly, sockets } = conversation;
  const ok = text.endsWith('OK');
  if (ended === undefined || !mayEnd(ended, text, grammar)) {
    emit(conversation, { kind: 'result', text, ok, lines: [], payloads: 0 });
    return;
  }
  const { command, settings, action, lines, payloads } = ended;
  conversation.inFlight = undefined;
  parser.forgetEcho();
  if (ok) for (const { apply } of settings) apply(modem);
  emit(conversation, { kind: 'result', command, ...(action && { action }), text, ok, lines, payloads });
  if (action?.type === 'send') settleSend(conversation, ended, action.socket, { text, ok });
  if (action?.type === 'read' && payloads === 0) reassembly.flush(action.socket);
  if (action?.type === 'close' && ok && !action.later) closeSocket(conversation, action.socket);
  if (action?.type === 'open' && action.socket !== undefined && !ok) sockets.notOpened(action.socket);
}

function settleSend(
  conversation: Conversation,
  ended: CommandInFlight,
  socket: number,
  result: { readonly text: string; readonly ok: boolean },
): void {
  const outcome = sendOutcome(ended, socket, result, conversation.grammar.confirmation);
  if (outcome === undefined) conversation.unconfirmed.add(socket);
  else emit(conversation, outcome);
}

/** Takes as sent what the modem accepted and never confirmed. */
export function settleUnconfirmed(conversation: Conversation): void {
  for (const socket of conversation.unconfirmed) emit(conversation, { kind: 'sent', socket });
  conversation.unconfirmed.clear();
}
