import type { Endpoint } from '../../endpoint.js';
import { type CommandPart, wholeNumber } from '../at/command-line.js';
import {
  type Action,
  type Grammar,
  isLength,
  type LineMeaning,
  type ModemState,
  matchGroups,
  peerOf,
} from '../at/grammar.js';
import type { Header } from '../at/parser.js';
import { answerOf, attempt, ModemFaultError, mustSucceed, pause, type Script, TIMEOUT } from '../at/script.js';
import type { Dialect } from './dialect.js';
import { lineMatching, MAX_READS, readUntilEmpty, sendFault, sendRequest } from './sockets.js';

const FROM = /^\+USORF: ?(\d+), ?"([^"]*)", ?(\d+), ?(\d+), ?"$/;
const CONNECTED = /^\+USORD: ?(\d+), ?(\d+), ?"$/;
/** The answer of R4 when no data wait: without a length. */
const EMPTY = /^\+USOR[DF]: ?(\d+), ?""$/;
const COUNTED = /^\+USOR[DF]: ?(\d+), ?(\d+)$/;
const PENDING = /^\+UUSOR[DF]: ?(\d+), ?(\d+)$/;
const SENT = /^\+USO(?:ST|WR): ?(\d+), ?(\d+)$/;
/** Most bytes of one read or send; in hexadecimal half as many. */
const LIMIT = 1024;
const HEX_LIMIT = 512;

/** SARA-R4, SARA-R5, SARA-U201, LARA: "u-blox SARA-R4 AT Commands Manual" UBX-17003787. */
const grammar: Grammar = {
  confirmation: 'before',
  words: {
    sendResults: [],
    errorNames: [],
    answerNames: {},
    namedAnswers: ['+USOER'],
  },
  echoesPayloads: false,
  joinAt: ({ hex }) => (hex ? HEX_LIMIT : LIMIT),
  action,
  header: () => undefined,
  inline,
  meaning,
};

function action({ verb, form, args }: CommandPart): Action | undefined {
  const [first, second, third, fourth, fifth] = args;
  if (form !== '=') return undefined;
  if (verb === '+UDCONF') {
    if (first !== '1' || second === undefined) return undefined;
    return {
      type: 'set',
      apply: (modem) => {
        modem.hex = second === '1';
      },
    };
  }
  if (verb === '+USOCR') return { type: 'open', state: {} };
  const socket = wholeNumber(first);
  if (socket === undefined) return undefined;
  switch (verb) {
    case '+USOCO':
      return { type: 'set', apply: (modem) => void modem.sockets.set(socket, peerOf(second, third)) };
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

function inline(beginning: string, modem: ModemState, inFlight: Action | undefined): Header | undefined {
  if (inFlight?.type !== 'read') return undefined;
  const [socket, address, port, count] = matchGroups(FROM, beginning) ?? [];
  const [connected, connectedCount] = socket === undefined ? (matchGroups(CONNECTED, beginning) ?? []) : [];
  const length = Number(count ?? connectedCount);
  if (Number(socket ?? connected) !== inFlight.socket || !isLength(length, inFlight.most)) return undefined;
  return {
    from: 'read',
    socket: inFlight.socket,
    length,
    hex: modem.hex,
    quoted: true,
    ...(address && { address, port: Number(port) }),
  };
}

function meaning(line: string, modem: ModemState, inFlight: Action | undefined): LineMeaning | undefined {
  const [waiting, bytes] = matchGroups(PENDING, line) ?? [];
  if (waiting !== undefined) return { type: 'pending', sockets: [Number(waiting)], bytes: Number(bytes) };
  if (/^\+USOR[DF]:/.test(line)) return meaningOfRead(line, inFlight);
  const [sentOn, sent] = matchGroups(SENT, line) ?? [];
  if (sentOn !== undefined) {
    const asked = inFlight?.type === 'send' && typeof inFlight.bytes === 'number' ? inFlight.bytes : Number(sent);
    const error = Number(sent) < asked ? { error: `${sent} of ${asked} bytes sent` } : {};
    return { type: 'sent', socket: Number(sentOn), ...error };
  }
  const [created] = matchGroups(/^\+USOCR: ?(\d+)$/, line) ?? [];
  if (created !== undefined) return { type: 'opened', socket: Number(created) };
  const [closed] = matchGroups(/^\+UUSOCL: ?(\d+)$/, line) ?? [];
  if (closed !== undefined) return { type: 'closed', socket: Number(closed) };
  if (/^\+UUPSDD:/.test(line)) return { type: 'urc', loss: 'context' };
  // The answer to `AT+UDCONF=1`.
  const [hex] = matchGroups(/^\+UDCONF: ?1, ?([01])$/, line) ?? [];
  if (hex !== undefined) modem.hex = hex === '1';
  return undefined;
}

function meaningOfRead(line: string, inFlight: Action | undefined): LineMeaning {
  const [socket, bytes] = matchGroups(COUNTED, line) ?? [];
  if (socket !== undefined && inFlight?.type === 'count') {
    return { type: 'counted', socket: Number(socket), bytes: Number(bytes) };
  }
  const [empty] = matchGroups(EMPTY, line) ?? (Number(bytes) === 0 ? [socket] : []);
  if (empty === undefined || inFlight === undefined) return { type: 'garbage' };
  return { type: 'empty', socket: Number(empty) };
}

const MAX_SOCKET = 6;
const UDP = 17;
const ACTIVATE_TIMEOUT_MS = 180_000;
const SEND_TIMEOUT_MS = 30_000;
const REFUSED_MS = 200;
/** The modem requires this delay between its `@` and the payload. */
const PAYLOAD_DELAY_MS = 50;

export const ublox: Dialect = {
  grammar,
  models: /^(?:SARA-(?:R4|R5|U2)|LARA-)/i,
  slowCommands: ['+UPSDA', '+USOCO', '+USOCL', '+UPING'],
  hexSends: ['+USOST', '+USOWR'],
  maxSend: LIMIT,
  maxSockets: MAX_SOCKET + 1,
  iccid: 'AT+CCID',
  radio: [{ command: 'AT+URAT=7', unless: { ask: 'AT+URAT?', answer: '7' } }, { command: 'AT+UPSV=0' }],
  reset: 'AT+CFUN=15',
  radioTimeoutMs: 180_000,
  flow: { none: 'AT&K0', rtscts: 'AT&K3' },
  activate,
  *deactivate() {
    yield* attempt('AT+UPSDA=0,4', ACTIVATE_TIMEOUT_MS);
  },
  *listen(port) {
    const command = `AT+USOCR=${UDP},${port}`;
    const outcome = yield* mustSucceed('socket', command);
    const socket = wholeNumber(answerOf(outcome, '+USOCR'));
    if (socket === undefined) throw new ModemFaultError('socket', `${command}: the modem returned no socket number`);
    return socket;
  },
  receive: (socket, most) => readUntilEmpty(readCommand(socket), most, 'empty'),
  *poll(socket) {
    const outcome = yield* mustSucceed('socket', `AT+USORF=${socket},0`);
    const waiting = answerOf(outcome, '+USORF')?.split(',')[1];
    if (Number(waiting) > 0) yield* readUntilEmpty(readCommand(socket), MAX_READS, 'empty');
  },
  send: sendFrom,
  *close(socket) {
    yield* attempt(`AT+USOCL=${socket}`, TIMEOUT.radio);
  },
};

const readCommand = (socket: number) => `AT+USORF=${socket},${LIMIT}`;

function* sendFrom(socket: number, { address, port }: Endpoint, bytes: Buffer): Script<void> {
  const command = `AT+USOST=${socket},"${address}",${port},${bytes.length}`;
  const request = sendRequest(command, bytes, socket, SEND_TIMEOUT_MS, { payloadDelayMs: PAYLOAD_DELAY_MS });
  let outcome = yield request;
  if (!outcome.ok && outcome.failure === 'refused' && /ERROR/.test(outcome.error)) {
    // R410 refuses a send during which a datagram arrives, until the datagram is read.
    yield* readUntilEmpty(readCommand(socket), MAX_READS, 'empty');
    yield* pause(REFUSED_MS);
    outcome = yield request;
  }
  if (!outcome.ok) throw sendFault(command, outcome);
}

function* activate(): Script<void> {
  yield* mustSucceed('refused', 'AT+UDCONF=1,0');
  // Sockets of an earlier run stay open.
  for (let socket = 0; socket <= MAX_SOCKET; socket++) yield* attempt(`AT+USOCL=${socket}`, TIMEOUT.radio);
  // R4 does not have this command: its context is always active.
  const profile = yield* attempt('AT+UPSD=0,0,0');
  if (!profile.ok) return;
  yield* attempt('AT+UPSD=0,100,1');
  const outcome = yield* attempt('AT+UPSDA=0,3', ACTIVATE_TIMEOUT_MS, {
    second: { find: lineMatching(/^\+UUPSDA: ?0/, /^\+UUPSDA: ?[1-9]/), timeoutMs: ACTIVATE_TIMEOUT_MS },
  });
  // A refusal means that it is active already, which opening the socket confirms.
  if (!outcome.ok && outcome.failure !== 'refused')
    throw new ModemFaultError('context', `AT+UPSDA=0,3: ${outcome.error}`);
}
