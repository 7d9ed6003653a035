import type { DiscardReason } from '../../../transport.js';
import { type Grammar, initialModemState, type ModemState } from '../grammar.js';
import type { ModemEvent } from '../modem-event.js';
import { createParser } from '../parser.js';
import { createEchoes } from './echoes.js';
import type { CommandInFlight } from './in-flight.js';
import { createReassembly } from './reassembly.js';
import { createSocketTable } from './socket-table.js';

/** The state of a dialogue, which the readers of lines, results and payloads share. */
export interface Conversation {
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

export function createConversation(grammar: Grammar): Conversation {
  const modem = initialModemState();
  const conversation: Conversation = {
    grammar,
    parser: createParser(),
    modem,
    sockets: createSocketTable(modem),
    reassembly: createReassembly((socket, source, bytes) =>
      emit(conversation, { kind: 'datagram', socket, source, bytes }),
    ),
    echoes: createEchoes(),
    unconfirmed: new Set(),
    inFlight: undefined,
    events: [],
  };
  return conversation;
}

export const emit = ({ events }: Conversation, event: ModemEvent): void => void events.push(event);

/** A line is part of the answer to the command in flight. */
export function emitInformation(conversation: Conversation, line: string): void {
  conversation.inFlight?.lines.push(line);
  emit(conversation, { kind: 'information', line });
}

export const emitDiscarded = (conversation: Conversation, line: string, reason: DiscardReason): void =>
  emit(conversation, { kind: 'discarded', bytes: Buffer.from(line, 'latin1'), reason });

/** Returns the events since the last call. */
export function takeEvents(conversation: Conversation): ModemEvent[] {
  const { events } = conversation;
  conversation.events = [];
  return events;
}

export function closeSocket(conversation: Conversation, socket: number): void {
  conversation.reassembly.flush(socket);
  if (conversation.sockets.closed(socket)) emit(conversation, { kind: 'closed', socket });
}
