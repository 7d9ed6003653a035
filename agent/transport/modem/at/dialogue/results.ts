import { closeSocket, type DialogueState, emit } from './dialogue-state.js';
import { type CommandInFlight, mayEnd, sendOutcome } from './in-flight.js';

/** Reads a final result: it ends the command in flight, unless it cannot be this command's. */
export function takeResult(state: DialogueState, text: string): void {
  const { inFlight: ended, grammar, modem, parser, reassembly, sockets } = state;
  const ok = text.endsWith('OK');
  if (ended === undefined || !mayEnd(ended, text, grammar)) {
    emit(state, { kind: 'result', text, ok, lines: [], payloads: 0 });
    return;
  }
  const { command, settings, action, lines, payloads } = ended;
  state.inFlight = undefined;
  parser.forgetEcho();
  if (ok) for (const { apply } of settings) apply(modem);
  emit(state, { kind: 'result', command, ...(action && { action }), text, ok, lines, payloads });
  if (action?.type === 'send') settleSend(state, ended, action.socket, { text, ok });
  if (action?.type === 'read' && payloads === 0) reassembly.flush(action.socket);
  if (action?.type === 'close' && ok && !action.later) closeSocket(state, action.socket);
  if (action?.type === 'open' && action.socket !== undefined && !ok) sockets.notOpened(action.socket);
}

function settleSend(
  state: DialogueState,
  ended: CommandInFlight,
  socket: number,
  result: { readonly text: string; readonly ok: boolean },
): void {
  const outcome = sendOutcome(ended, socket, result, state.grammar.confirmation);
  if (outcome === undefined) state.unconfirmed.add(socket);
  else emit(state, outcome);
}

/** Takes as sent what the modem accepted and never confirmed. */
export function settleUnconfirmed(state: DialogueState): void {
  for (const socket of state.unconfirmed) emit(state, { kind: 'sent', socket });
  state.unconfirmed.clear();
}
