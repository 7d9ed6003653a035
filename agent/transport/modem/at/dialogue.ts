import type { Endpoint } from '../../endpoint.js';
import type { DiscardReason } from '../../transport.js';
import { createEchoes } from './echoes.js';
import { freshKnown, type Grammar, type Said } from './grammar.js';
import {
  awaitedPayload,
  awaitsPrompt,
  beginExchange,
  type Exchange,
  fateOfSend,
  hasSent,
  isQuestion,
  mayEnd,
} from './in-flight.js';
import type { Notice } from './modem-event.js';
import { createParser, type Expectation, type Header, type Unit } from './parser.js';
import { createJoiner } from './reassembly.js';
import { answers, isEcho, isFinal, isRegistrationUrc, isReset, isUrc, readsLikeAnswer } from './result-codes.js';
import { createSocketStates } from './socket-table.js';

/**
 * Follows what a host and a modem say to each other, whoever the host is: told what was written and what came, it
 * knows which command is in flight, and so what the bytes mean. The agent's own transactions and the reading of a
 * log are both built on it.
 */
export type Dialogue = ReturnType<typeof createDialogue>;

export function createDialogue(grammar: Grammar) {
  const { words } = grammar;
  const parser = createParser();
  const known = freshKnown();
  let exchange: Exchange | undefined;
  const echoes = createEchoes();
  /** Sends that ended with OK and whose confirmation is still to come. */
  const unconfirmed = new Set<number>();
  const states = createSocketStates(known);
  let notices: Notice[] = [];
  const deliver = (socket: number | null, source: Endpoint, bytes: Buffer) =>
    void notices.push({ kind: 'datagram', socket, source, bytes });
  const joiner = createJoiner(deliver);

  const expectation: Expectation = {
    get prompt() {
      return awaitsPrompt(exchange);
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
        if (exchange !== undefined && readsLikeAnswer(unit.bytes, words)) exchange.likeAnswer = unit.bytes;
        break;
      case 'discarded':
        if (!echoes.isOfControls(unit.bytes)) notices.push({ kind: 'discarded', bytes: unit.bytes, why: unit.why });
    }
  }

  function takeLine(line: string): void {
    const said = isEcho(line) || isFinal(line, words) ? undefined : grammar.said(line, known, exchange?.action);
    if (isEchoOfOurs(line)) return;
    if (isEcho(line)) discard(line, 'foreign-echo');
    else if (isFinal(line, words)) takeFinal(line);
    else if (said !== undefined) takeSaid(line, said);
    else if (isReset(line)) takeReset(line);
    else if (isAnswer(line)) inform(line);
    else if (isUrc(line)) notices.push({ kind: 'urc', line });
    else discard(line, 'unknown-line');
  }

  function isAnswer(line: string): boolean {
    const parts = exchange?.parts ?? [];
    return answers(parts, line, words) && !(isRegistrationUrc(line) && parts.some(({ form }) => form === '?'));
  }

  function discard(line: string, why: DiscardReason): void {
    notices.push({ kind: 'discarded', bytes: Buffer.from(line, 'latin1'), why });
  }

  function inform(line: string): void {
    exchange?.lines.push(line);
    notices.push({ kind: 'information', line });
  }

  function isEchoOfOurs(line: string): boolean {
    if (exchange !== undefined && line.trim() === exchange.command) exchange.echoed = true;
    return echoes.isOfCommand(line);
  }

  function takeSaid(line: string, said: Said): void {
    switch (said.type) {
      case 'pending':
        for (const socket of said.sockets) sayPending(socket, said.bytes);
        break;
      case 'counted':
        inform(line);
        if (said.bytes > 0) notices.push({ kind: 'pending', socket: said.socket, bytes: said.bytes, asked: true });
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
        if (isQuestion(exchange)) inform(line);
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

  function takeOpened(line: string, { socket, error }: Extract<Said, { type: 'opened' }>): void {
    if (isQuestion(exchange)) {
      inform(line);
      return;
    }
    const action = exchange?.action?.type === 'open' ? exchange.action : undefined;
    if (action !== undefined) exchange?.lines.push(line);
    if (error === undefined) states.opened(socket, action?.state);
    else states.notOpened(socket, action?.state);
    notices.push({ kind: 'opened', socket, ...(error !== undefined && { error }) });
  }

  function takeClosed(socket: number): void {
    joiner.flush(socket);
    if (states.closed(socket)) notices.push({ kind: 'closed', socket });
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
    const { socket, source } = states.sourceOf(header);
    const partial = grammar.joinAt?.(known) === bytes.length;
    if (socket === null) deliver(socket, source, bytes);
    else joiner.take(socket, source, bytes, partial);
  }

  function takeConfirmation(line: string, said: Extract<Said, { type: 'sent' }>): void {
    if (exchange !== undefined && hasSent(exchange, said.socket)) {
      exchange.confirmed = said;
      exchange.lines.push(line);
    } else if (unconfirmed.delete(said.socket) || said.error !== undefined) {
      notices.push({ kind: 'sent', socket: said.socket, ...(said.error !== undefined && { error: said.error }) });
    } else {
      notices.push({ kind: 'urc', line });
    }
  }

  function takeFinal(text: string): void {
    const ended = exchange;
    const ok = text.endsWith('OK');
    if (ended === undefined || !mayEnd(ended, text, grammar)) {
      notices.push({ kind: 'result', text, ok, lines: [], payloads: 0 });
      return;
    }
    const { command, settings, action, lines, payloads } = ended;
    exchange = undefined;
    parser.forgetEcho();
    if (ok) for (const { apply } of settings) apply(known);
    notices.push({ kind: 'result', command, ...(action && { action }), text, ok, lines, payloads });
    if (action?.type === 'send') settleSend(ended, action.socket, { text, ok });
    if (action?.type === 'read' && payloads === 0) joiner.flush(action.socket);
    if (action?.type === 'close' && ok && !action.later) takeClosed(action.socket);
    if (action?.type === 'open' && action.socket !== undefined && !ok) states.notOpened(action.socket);
  }

  function settleSend(ended: Exchange, socket: number, result: { readonly text: string; readonly ok: boolean }): void {
    const fate = fateOfSend(ended, socket, result, grammar.confirmation);
    if (fate === undefined) unconfirmed.add(socket);
    else notices.push(fate);
  }

  /** Only a modem that echoes gets its echo passed over: else a payload that reads like an answer would eat the answer. */
  function expectEcho(): void {
    if (exchange?.written === undefined || !exchange.prompted) return;
    const certain = known.payloadEcho ?? exchange.echoed;
    const possible = grammar.echoesPayloads && (exchange.echoed || known.payloadEcho === undefined);
    if (certain || (possible && !readsLikeAnswer(exchange.written, words))) parser.expectEcho(exchange.written);
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
      exchange = beginExchange(command, grammar, known);
      const { action } = exchange;
      if (action?.type === 'send') settleUnconfirmed();
      if (action?.type === 'open' && action.socket !== undefined) states.begin(action.socket, action.state);
      echoes.command(exchange.command);
      return understood();
    },

    /** A control character was written outside commands and payloads. */
    wrote: echoes.control,

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
    awaited: () => awaitedPayload(exchange),
  };
}
