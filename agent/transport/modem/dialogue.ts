import { GATEWAY_ADDRESS, GATEWAY_PORT } from '../../../shared/limits.js';
import type { Endpoint } from '../transport.js';
import { type CommandPart, splitCommand } from './command.js';
import { type Action, freshKnown, type Grammar, type Said, type Socket } from './grammar.js';
import { createJoiner } from './joiner.js';
import { answers, isEcho, isFinal, isRegistrationUrc, isReset, isUrc, readsLikeAnswer } from './lines.js';
import type { Notice } from './notice.js';
import { createParser, type Expectation, type Header, type Unit, type Why } from './parser.js';

/** Commands whose echo may still come, after their time was over. */
const MAX_RECENT = 20;
const MAX_CONTROLS = 8;

/** A command in flight. */
interface Exchange {
  readonly command: string;
  readonly parts: readonly CommandPart[];
  readonly settings: readonly Extract<Action, { type: 'set' }>[];
  readonly action: Exclude<Action, { type: 'set' }> | undefined;
  readonly lines: string[];
  echoed: boolean;
  prompted: boolean;
  written: Buffer | undefined;
  payloads: number;
  /** An echo of the payload that reads like an answer: taken for one after all if no answer comes. */
  likeAnswer: Buffer | undefined;
  confirmed: Extract<Said, { type: 'sent' }> | undefined;
  detail: string | undefined;
}

/**
 * Follows what a host and a modem say to each other, whoever the host is: told what was written and what came, it
 * knows which command is in flight, and so what the bytes mean. The agent's own transactions and the reading of a
 * log are both built on it.
 */
export type Dialogue = ReturnType<typeof createDialogue>;

export function createDialogue(grammar: Grammar) {
  const parser = createParser();
  const known = freshKnown();
  let exchange: Exchange | undefined;
  const recent: string[] = [];
  /** Sends that ended with OK and whose confirmation is still to come. */
  const unconfirmed = new Set<number>();
  /** What the sockets being opened will be; one that is open keeps its state until it is opened anew. */
  const opening = new Map<number, Socket>();
  /** Control characters that were written between commands, and not echoed so far. */
  const controls: number[] = [];
  let notices: Notice[] = [];
  const deliver = (socket: number | null, source: Endpoint, bytes: Buffer) =>
    void notices.push({ kind: 'datagram', socket, source, bytes });
  const joiner = createJoiner(deliver);

  const expectation: Expectation = {
    get prompt() {
      return exchange?.action?.type === 'send' && exchange.action.bytes !== undefined && !exchange.prompted;
    },
    header: (line) => grammar.header(line, known, readable()),
    get inline() {
      const { inline } = grammar;
      return inline && ((beginning: string) => inline(beginning, known, readable()));
    },
  };

  /** A read has one payload: what looks like a second is not. */
  const readable = () => (exchange !== undefined && exchange.payloads > 0 ? undefined : exchange?.action);

  function drain(): void {
    for (let unit = parser.next(expectation); unit !== undefined; unit = parser.next(expectation)) take(unit);
  }

  function take(unit: Unit): void {
    switch (unit.type) {
      case 'line':
        takeLine(unit.text);
        break;
      case 'prompt':
        if (exchange !== undefined) exchange.prompted = true;
        notices.push({ kind: 'prompt' });
        expectEcho();
        break;
      case 'payload':
        takePayload(unit.header, unit.bytes);
        break;
      case 'payload-echo':
        if (exchange !== undefined && readsLikeAnswer(unit.bytes)) exchange.likeAnswer = unit.bytes;
        break;
      case 'discarded':
        if (!isEchoOfControls(unit.bytes)) notices.push({ kind: 'discarded', bytes: unit.bytes, why: unit.why });
    }
  }

  /** Some hosts write a Ctrl-Z behind a payload, and some modems give it back. */
  function isEchoOfControls(bytes: Buffer): boolean {
    if (bytes.length > controls.length || !bytes.every((byte, index) => byte === controls[index])) return false;
    controls.splice(0, bytes.length);
    return true;
  }

  function takeLine(line: string): void {
    const said = isEcho(line) || isFinal(line) ? undefined : grammar.said(line, known, exchange?.action);
    if (isEchoOfOurs(line)) return;
    if (isEcho(line)) discard(line, 'foreign-echo');
    else if (isFinal(line)) takeFinal(line);
    else if (said !== undefined) takeSaid(line, said);
    else if (isReset(line)) takeReset(line);
    else if (isAnswer(line)) inform(line);
    else if (isUrc(line)) notices.push({ kind: 'urc', line });
    else discard(line, 'unknown-line');
  }

  function isAnswer(line: string): boolean {
    const parts = exchange?.parts ?? [];
    return answers(parts, line) && !(isRegistrationUrc(line) && parts.some(({ form }) => form === '?'));
  }

  function discard(line: string, why: Why): void {
    notices.push({ kind: 'discarded', bytes: Buffer.from(line, 'latin1'), why });
  }

  function inform(line: string): void {
    exchange?.lines.push(line);
    notices.push({ kind: 'information', line });
  }

  function isEchoOfOurs(line: string): boolean {
    const text = line.trim();
    if (text === exchange?.command) {
      exchange.echoed = true;
      return true;
    }
    return recent.includes(text);
  }

  function takeSaid(line: string, said: Said): void {
    switch (said.type) {
      case 'pending':
        for (const socket of said.sockets) sayPending(socket, said.bytes);
        break;
      case 'counted':
        inform(line);
        if (said.bytes > 0) sayPending(said.socket, said.bytes);
        else joiner.flush(said.socket);
        break;
      case 'empty':
        inform(line);
        joiner.flush(said.socket);
        break;
      case 'opened':
        takeOpened(line, said);
        break;
      case 'closed':
        if (isQuestion()) inform(line);
        else takeClosed(said.socket);
        break;
      case 'sent':
        takeConfirmation(line, said);
        break;
      case 'source':
        known.source = said.endpoint;
        break;
      case 'detail':
        if (exchange !== undefined) exchange.detail = line;
        inform(line);
        break;
      case 'information':
        inform(line);
        break;
      case 'urc':
        notices.push({ kind: 'urc', line, ...(said.loss && { loss: said.loss }) });
        break;
      case 'garbage':
        discard(line, 'bad-header');
    }
  }

  const sayPending = (socket: number, bytes: number | undefined) =>
    notices.push({ kind: 'pending', socket, ...(bytes !== undefined && { bytes }) });

  const isQuestion = () => exchange?.parts.some(({ form }) => form === '?') === true;

  function takeOpened(line: string, { socket, error }: Extract<Said, { type: 'opened' }>): void {
    if (isQuestion()) {
      inform(line);
      return;
    }
    const action = exchange?.action?.type === 'open' ? exchange.action : undefined;
    if (action !== undefined) exchange?.lines.push(line);
    const state = opening.get(socket) ?? action?.state;
    opening.delete(socket);
    if (error === undefined) {
      known.closed.delete(socket);
      known.sockets.set(socket, { ...known.sockets.get(socket), ...state });
    } else if (known.sockets.get(socket) === state) {
      known.sockets.delete(socket);
    }
    notices.push({ kind: 'opened', socket, ...(error !== undefined && { error }) });
  }

  function takeClosed(socket: number): void {
    joiner.flush(socket);
    known.sockets.delete(socket);
    if (known.closed.has(socket)) return;
    known.closed.add(socket);
    notices.push({ kind: 'closed', socket });
  }

  function takeReset(line: string): void {
    known.sockets.clear();
    known.hex = false;
    known.manual = undefined;
    known.payloadEcho = undefined;
    unconfirmed.clear();
    joiner.flushAll();
    notices.push({ kind: 'urc', line, loss: 'reset' });
  }

  function takePayload(header: Header, bytes: Buffer): void {
    if (header.from === 'read' && exchange !== undefined) exchange.payloads++;
    const socket = header.socket ?? onlySocket();
    const { address, port = 0 } = header;
    const peer = socket === null ? undefined : known.sockets.get(socket)?.peer;
    const source =
      address === undefined ? (peer ?? { address: GATEWAY_ADDRESS, port: GATEWAY_PORT }) : { address, port };
    const partial = grammar.joinAt?.(known) === bytes.length;
    if (socket === null) deliver(socket, source, bytes);
    else joiner.take(socket, source, bytes, partial);
  }

  /** The socket that a payload without a number came to. */
  function onlySocket(): number | null {
    const [socket = 0, another] = known.sockets.keys();
    return another === undefined ? socket : null;
  }

  function takeConfirmation(line: string, said: Extract<Said, { type: 'sent' }>): void {
    const isAsked = exchange?.action?.type === 'send' && exchange.action.socket === said.socket;
    if (exchange !== undefined && isAsked) {
      exchange.confirmed = said;
      exchange.lines.push(line);
    } else if (unconfirmed.delete(said.socket) || said.error !== undefined) {
      notices.push({ kind: 'sent', socket: said.socket, ...(said.error !== undefined && { error: said.error }) });
    } else {
      notices.push({ kind: 'urc', line });
    }
  }

  function takeFinal(text: string): void {
    if (exchange === undefined || !mayEnd(exchange, text)) {
      notices.push({ kind: 'result', text, ok: text.endsWith('OK'), lines: [], payloads: 0 });
      return;
    }
    const { command, settings, action, lines, payloads } = exchange;
    const ok = text.endsWith('OK');
    const ended = exchange;
    exchange = undefined;
    parser.forgetEcho();
    if (ok) for (const { apply } of settings) apply(known);
    notices.push({ kind: 'result', command, ...(action && { action }), text, ok, lines, payloads });
    if (action?.type === 'send') settleSend(ended, action.socket, text, ok);
    if (action?.type === 'read' && payloads === 0) joiner.flush(action.socket);
    if (action?.type === 'close' && ok && !action.later) takeClosed(action.socket);
    if (action?.type === 'open' && action.socket !== undefined && !ok) forgetOpening(action.socket);
  }

  function forgetOpening(socket: number): void {
    if (known.sockets.get(socket) === opening.get(socket)) known.sockets.delete(socket);
    opening.delete(socket);
  }

  /** A late or stray result must not end another command. */
  function mayEnd({ action, written, confirmed }: Exchange, text: string): boolean {
    const isSend = action?.type === 'send';
    if (text.startsWith('SEND ')) return isSend && grammar.confirmation === 'result';
    if (text !== 'OK' || !isSend) return true;
    if (grammar.confirmation === 'result') return confirmed !== undefined;
    return action.bytes === undefined || written !== undefined;
  }

  function settleSend({ confirmed, detail }: Exchange, socket: number, text: string, ok: boolean): void {
    const say = (error?: string) => notices.push({ kind: 'sent', socket, ...(error !== undefined && { error }) });
    if (!ok) say(detail ?? text);
    else if (confirmed !== undefined) say(confirmed.error);
    else if (grammar.confirmation === 'around') unconfirmed.add(socket);
    else say(grammar.confirmation === 'before' ? 'the modem did not confirm it' : undefined);
  }

  /** Only a modem that echoes gets its echo passed over: else a payload that reads like an answer would eat the answer. */
  function expectEcho(): void {
    if (exchange?.written === undefined || !exchange.prompted) return;
    const certain = known.payloadEcho ?? exchange.echoed;
    const possible = grammar.echoesPayloads && (exchange.echoed || known.payloadEcho === undefined);
    if (certain || (possible && !readsLikeAnswer(exchange.written))) parser.expectEcho(exchange.written);
  }

  /** What has not been said about the command in flight will not be said any more. */
  function leaveExchange(): void {
    if (exchange === undefined) return;
    parser.forgetEcho();
    const { likeAnswer } = exchange;
    exchange.likeAnswer = undefined;
    if (likeAnswer !== undefined) parser.unread(likeAnswer);
    if (parser.waitsFor() === 'read') for (const unit of parser.abandon()) take(unit);
    drain();
    exchange = undefined;
  }

  /** Its data may come at once. */
  function open(socket: number, state: Socket): void {
    opening.set(socket, state);
    if (!known.sockets.has(socket)) known.sockets.set(socket, state);
  }

  /** Sends that the modem took and never confirmed. */
  function settleUnconfirmed(): void {
    for (const socket of unconfirmed) notices.push({ kind: 'sent', socket });
    unconfirmed.clear();
  }

  function understood(): Notice[] {
    const all = notices;
    notices = [];
    return all;
  }

  return {
    /** A command was written, without its end; it is in flight now. */
    command(command: string): Notice[] {
      leaveExchange();
      controls.length = 0;
      const all = splitCommand(command);
      const actions = all.flatMap((part) => grammar.action(part, known) ?? []);
      const action = actions.find((one) => one.type !== 'set');
      if (action?.type === 'send') settleUnconfirmed();
      if (action?.type === 'open' && action.socket !== undefined) open(action.socket, action.state);
      exchange = {
        command: command.trim(),
        parts: all,
        settings: actions.filter((one) => one.type === 'set'),
        action,
        lines: [],
        echoed: false,
        prompted: false,
        written: undefined,
        payloads: 0,
        likeAnswer: undefined,
        confirmed: undefined,
        detail: undefined,
      };
      recent.push(exchange.command);
      if (recent.length > MAX_RECENT) recent.shift();
      return understood();
    },

    /** A control character was written outside commands and payloads. */
    wrote(byte: number): void {
      if (byte < 0x20 && byte !== 0x0a && byte !== 0x0d && controls.length < MAX_CONTROLS) controls.push(byte);
    },

    /** The payload of the command in flight was written, whole. */
    payload(bytes: Buffer): Notice[] {
      if (exchange !== undefined) exchange.written = bytes;
      expectEcho();
      return understood();
    },

    receive(bytes: Buffer): Notice[] {
      parser.feed(bytes);
      drain();
      return understood();
    },

    /** The command in flight is given up: what may still come of it belongs to none. */
    giveUp(): Notice[] {
      leaveExchange();
      return understood();
    },

    /** Nothing has come for long: what is not complete will not be completed. */
    abandon(): Notice[] {
      parser.forgetEcho();
      drain();
      for (const unit of parser.abandon()) take(unit);
      return understood();
    },

    /** There is nothing more to come. */
    end(): Notice[] {
      leaveExchange();
      drain();
      for (const unit of parser.abandon()) take(unit);
      joiner.flushAll();
      settleUnconfirmed();
      return understood();
    },

    /** Whether a payload has begun and is not complete. */
    inPayload: (): boolean => parser.waitsFor() !== undefined,
    /** The payload that the modem waits for: how long it is, and whether the prompt has come. */
    awaited: () => {
      const { action, prompted, written } = exchange ?? {};
      if (action?.type !== 'send' || action.bytes === undefined || written !== undefined) return undefined;
      return { bytes: action.bytes, prompted: prompted === true };
    },
    inFlight: (): boolean => exchange !== undefined,
    known: (): Readonly<typeof known> => known,
  };
}
