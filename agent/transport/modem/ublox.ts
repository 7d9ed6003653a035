import { type CommandPart, wholeNumber } from './command.js';
import { type Action, type Grammar, isLength, type Known, match, peerOf, type Said } from './grammar.js';
import type { Header } from './parser.js';

const FROM = /^\+USORF: ?(\d+), ?"([^"]*)", ?(\d+), ?(\d+), ?"$/;
const CONNECTED = /^\+USORD: ?(\d+), ?(\d+), ?"$/;
/** R4 answers so when nothing waits: without a length. */
const EMPTY = /^\+USOR[DF]: ?(\d+), ?""$/;
const COUNTED = /^\+USOR[DF]: ?(\d+), ?(\d+)$/;
const PENDING = /^\+UUSOR[DF]: ?(\d+), ?(\d+)$/;
const SENT = /^\+USO(?:ST|WR): ?(\d+), ?(\d+)$/;
/** Most bytes of one read or send; in hexadecimal half as many. */
export const LIMIT = 1024;
const HEX_LIMIT = 512;

/** SARA-R4, SARA-R5, SARA-U201, LARA: "u-blox SARA-R4 AT Commands Manual" UBX-17003787. */
export const grammar: Grammar = {
  confirmation: 'before',
  echoesPayloads: false,
  joinAt: ({ hex }) => (hex ? HEX_LIMIT : LIMIT),
  action,
  header: () => undefined,
  inline,
  said,
};

function action({ verb, form, args }: CommandPart): Action | undefined {
  const [first, second, third, fourth, fifth] = args;
  if (form !== '=') return undefined;
  if (verb === '+UDCONF') {
    if (first !== '1' || second === undefined) return undefined;
    return {
      type: 'set',
      apply: (known) => {
        known.hex = second === '1';
      },
    };
  }
  if (verb === '+USOCR') return { type: 'open', state: {} };
  const socket = wholeNumber(first);
  if (socket === undefined) return undefined;
  switch (verb) {
    case '+USOCO':
      return { type: 'set', apply: (known) => void known.sockets.set(socket, peerOf(second, third)) };
    case '+USOCL':
      return { type: 'close', socket, later: second === '1' };
    case '+USORF':
    case '+USORD':
      if (second === '0') return { type: 'count', socket };
      return { type: 'read', socket, most: wholeNumber(second) ?? Number.POSITIVE_INFINITY, hex: false };
    case '+USOST':
      return send(socket, fourth, fifth);
    case '+USOWR':
      return send(socket, second, third);
  }
  return undefined;
}

function send(socket: number, length: string | undefined, data: string | undefined): Action | undefined {
  const bytes = wholeNumber(length);
  if (bytes === undefined || bytes === 0) return undefined;
  return { type: 'send', socket, bytes: data === undefined ? bytes : undefined };
}

function inline(beginning: string, known: Known, inFlight: Action | undefined): Header | undefined {
  if (inFlight?.type !== 'read') return undefined;
  const [socket, address, port, count] = match(FROM, beginning) ?? [];
  const [connected, connectedCount] = socket === undefined ? (match(CONNECTED, beginning) ?? []) : [];
  const length = Number(count ?? connectedCount);
  if (Number(socket ?? connected) !== inFlight.socket || !isLength(length, inFlight.most)) return undefined;
  return {
    from: 'read',
    socket: inFlight.socket,
    length,
    hex: known.hex,
    quoted: true,
    ...(address && { address, port: Number(port) }),
  };
}

function said(line: string, known: Known, inFlight: Action | undefined): Said | undefined {
  const [waiting, bytes] = match(PENDING, line) ?? [];
  if (waiting !== undefined) return { type: 'pending', sockets: [Number(waiting)], bytes: Number(bytes) };
  if (/^\+USOR[DF]:/.test(line)) return saidOfRead(line, inFlight);
  const [sentOn, sent] = match(SENT, line) ?? [];
  if (sentOn !== undefined) {
    const asked = inFlight?.type === 'send' && typeof inFlight.bytes === 'number' ? inFlight.bytes : Number(sent);
    const error = Number(sent) < asked ? { error: `${sent} of ${asked} bytes sent` } : {};
    return { type: 'sent', socket: Number(sentOn), ...error };
  }
  const [created] = match(/^\+USOCR: ?(\d+)$/, line) ?? [];
  if (created !== undefined) return { type: 'opened', socket: Number(created) };
  const [closed] = match(/^\+UUSOCL: ?(\d+)$/, line) ?? [];
  if (closed !== undefined) return { type: 'closed', socket: Number(closed) };
  if (/^\+UUPSDD:/.test(line)) return { type: 'urc', loss: 'context' };
  // The answer to `AT+UDCONF=1`.
  const [hex] = match(/^\+UDCONF: ?1, ?([01])$/, line) ?? [];
  if (hex !== undefined) known.hex = hex === '1';
  return undefined;
}

function saidOfRead(line: string, inFlight: Action | undefined): Said {
  const [socket, bytes] = match(COUNTED, line) ?? [];
  if (socket !== undefined && inFlight?.type === 'count') {
    return { type: 'counted', socket: Number(socket), bytes: Number(bytes) };
  }
  const [empty] = match(EMPTY, line) ?? (Number(bytes) === 0 ? [socket] : []);
  if (empty === undefined || inFlight === undefined) return { type: 'garbage' };
  return { type: 'empty', socket: Number(empty) };
}
