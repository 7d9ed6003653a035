import type { Grammar } from '../grammar.js';
import type { ModemEvent } from '../modem-event.js';
import type { Expectation, ParsedUnit } from '../parser.js';
import { createDialogueState, type DialogueState, emit, takeEvents } from './dialogue-state.js';
import { awaitedPayload, awaitsPrompt, beginCommand } from './in-flight.js';
import { takeLine } from './lines.js';
import { expectEcho, takePayload, takePayloadEcho } from './payloads.js';
import { settleUnconfirmed } from './results.js';

/**
 * Follows the dialogue of a host and a modem. Given what was written and what was received, it knows which command is
 * in flight, and so what the bytes mean. The agent's own transactions and the log reader are both built on it.
 */
export type Dialogue = ReturnType<typeof createDialogue>;

export function createDialogue(grammar: Grammar) {
  const state = createDialogueState(grammar);
  const { parser, reassembly, sockets, echoes, modem } = state;
  const expectation = expectationOf(state);

  function drain(): void {
    for (let unit = parser.next(expectation); unit !== undefined; unit = parser.next(expectation)) {
      takeUnit(state, unit);
    }
  }

  /** Ends the command in flight without a result: what comes from now on does not belong to it. */
  function leaveCommand(): void {
    const { inFlight } = state;
    if (inFlight === undefined) return;
    parser.forgetEcho();
    const { likeAnswer } = inFlight;
    inFlight.likeAnswer = undefined;
    if (likeAnswer !== undefined) parser.unread(likeAnswer);
    if (parser.waitsFor() === 'read') takeIncomplete();
    drain();
    state.inFlight = undefined;
  }

  function takeIncomplete(): void {
    for (const unit of parser.abandon()) takeUnit(state, unit);
  }

  return {
    /** A command was written, given without its end; it is in flight now. */
    command(command: string): ModemEvent[] {
      leaveCommand();
      const inFlight = beginCommand(command, grammar, modem);
      state.inFlight = inFlight;
      const { action } = inFlight;
      if (action?.type === 'send') settleUnconfirmed(state);
      if (action?.type === 'open' && action.socket !== undefined) sockets.begin(action.socket, action.state);
      echoes.command(inFlight.command);
      return takeEvents(state);
    },

    /** A control character was written outside commands and payloads. */
    control: echoes.control,

    /** The whole payload of the command in flight was written. */
    payload(bytes: Buffer): ModemEvent[] {
      if (state.inFlight !== undefined) state.inFlight.written = bytes;
      expectEcho(state);
      return takeEvents(state);
    },

    receive(bytes: Buffer): ModemEvent[] {
      parser.feed(bytes);
      drain();
      return takeEvents(state);
    },

    /** The host no longer waits for the command in flight. */
    abandonCommand(): ModemEvent[] {
      leaveCommand();
      return takeEvents(state);
    },

    /** Nothing has been received for long: an incomplete line or payload will not be completed. */
    abandonIncomplete(): ModemEvent[] {
      parser.forgetEcho();
      drain();
      takeIncomplete();
      return takeEvents(state);
    },

    /** There is nothing more to come. */
    end(): ModemEvent[] {
      leaveCommand();
      drain();
      takeIncomplete();
      reassembly.flushAll();
      settleUnconfirmed(state);
      return takeEvents(state);
    },

    /** Whether a payload has begun and is not complete. */
    inPayload: (): boolean => parser.waitsFor() !== undefined,
    /** Returns the payload that the modem waits for: how long it is, and whether the prompt has come. */
    awaitedPayload: () => awaitedPayload(state.inFlight),
  };
}

/** What may come next, by the command in flight and by what is known of the modem. */
function expectationOf(state: DialogueState): Expectation {
  const { grammar, modem } = state;
  /** A read has one payload: what looks like the header of a second one is not a header. */
  const readable = () => {
    const { inFlight } = state;
    return inFlight !== undefined && inFlight.payloads > 0 ? undefined : inFlight?.action;
  };
  const { inline } = grammar;
  return {
    get prompt() {
      return awaitsPrompt(state.inFlight);
    },
    header: (line) => grammar.header(line, modem, readable()),
    inline: inline && ((beginning) => inline(beginning, modem, readable())),
  };
}

function takeUnit(state: DialogueState, unit: ParsedUnit): void {
  const { inFlight, echoes } = state;
  switch (unit.type) {
    case 'line':
      takeLine(state, unit.text);
      break;
    case 'prompt':
      if (inFlight !== undefined) inFlight.prompted = true;
      emit(state, { kind: 'prompt' });
      expectEcho(state);
      break;
    case 'payload':
      takePayload(state, unit.header, unit.bytes);
      break;
    case 'payload-echo':
      takePayloadEcho(state, unit.bytes);
      break;
    case 'discarded':
      if (!echoes.isOfControls(unit.bytes)) {
        emit(state, { kind: 'discarded', bytes: unit.bytes, reason: unit.reason });
      }
  }
}
