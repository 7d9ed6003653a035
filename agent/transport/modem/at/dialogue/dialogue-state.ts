import type { DiscardReason } from '../../../transport.js';
import { type Grammar, initialModemState, type ModemState } from '../grammar.js';
import type { ModemEvent } from '../modem-event.js';
import { createParser } from '../parser.js';
import { createEchoes } from './echoes.js';
import type { CommandInFlight } from './in-flight.js';
import { createReassembly } from './reassembly.js';
import { createSocketTable } from './socket-table.js';

/** The state of a dialogue, which the readers of lines, results and payloads share. */
export interface DialogueState {
  readonly grammar: Grammar;
  readonly parser: ReturnType<typeof createParser>;
  readonly modem: ModemState;
  readonly sockets: ReturnType<typeof createSocketTable>;
  readonly reassembly: ReturnType<typeof createReassembly>;
  readonly echoes: ReturnType<typeof createEchoes>;
  /** Sockets with a send that ended with OK and is not confirmed yet. */
  readonly unconfirmed: Set<number>;
  inFlight: CommandInFlight | undefined;
  /** What was understood since {@link takeEvents}. */
  events: ModemEvent[];
}

export function createDialogueState(grammar: Grammar): DialogueState {
  const modem = initialModemState();
  const state: DialogueState = {
    grammar,
    parser: createParser(),
    modem,
    sockets: createSocketTable(modem),
    reassembly: createReassembly((socket, source, bytes) => emit(state, { kind: 'datagram', socket, source, bytes })),
    echoes: createEchoes(),
    unconfirmed: new Set(),
    inFlight: undefined,
    events: [],
  };
  return state;
}

export const emit = ({ events }: DialogueState, event: ModemEvent): void => void events.push(event);

/** A line is part of the answer to the command in flight. */
export function emitInformation(state: DialogueState, line: string): void {
  state.inFlight?.lines.push(line);
  emit(state, { kind: 'information', line });
}

export const emitDiscarded = (state: DialogueState, line: string, reason: DiscardReason): void =>
  emit(state, { kind: 'discarded', bytes: Buffer.from(line, 'latin1'), reason });

/** Returns the events since the last call. */
export function takeEvents(state: DialogueState): ModemEvent[] {
  const { events } = state;
  state.events = [];
  return events;
}

export function closeSocket(state: DialogueState, socket: number): void {
  state.reassembly.flush(socket);
  if (state.sockets.closed(socket)) emit(state, { kind: 'closed', socket });
}
