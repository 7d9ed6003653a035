import type { Endpoint } from '../../endpoint.js';
import { type CommandPart, fieldsOf, wholeNumber } from '../at/command-line.js';
import {
  type Action,
  endpointOf,
  type Grammar,
  isLength,
  type LineMeaning,
  type ModemState,
  matchGroups,
  peerOf,
} from '../at/grammar.js';
import type { Header } from '../at/parser.js';
import { attempt, ModemFaultError, mustSucceed, type Script, TIMEOUT } from '../at/script.js';
import type { Dialect } from './dialect.js';
import { lineMatching, MAX_READS, opened, readUntilEmpty, sendFault, sendRequest } from './sockets.js';

/** The form with CASRIP=1, with and without the socket that some manuals put first. */
const WITH_SOURCE = /^\+CARECV: ?(?:(\d+), ?)?"?(\d+\.\d+\.\d+\.\d+)"?, ?(\d+), ?(\d+),$/;
const TWO_NUMBERS = /^\+CARECV: ?(\d+),(\d+),$/;
const ONE_NUMBER = /^\+CARECV: ?(\d+),$/;
const ONE_AND_MORE = /^\+CARECV: ?(\d+),(.+)$/s;
/** The beginning of what may become a second number or an address. */
const UNDECIDED = /^"?[\d., ]*"?[\d, ]*$/;
const ON_ITS_OWN_LINE = /^\+CARECV: ?(\d+),(\d+)$/;
const PUSH = /^\+CAURC: ?"recv", ?(\d+), ?(\d+)(?:, ?"?([\d.]+)"?, ?(\d+))?$/;
const NEW = /^\+CANEW: ?(\d+), ?(\d+)(?:, ?"?([\d.]+)"?, ?(\d+))?/;
const STATE = /^\+CASTATE: ?(\d+), ?(\d+)$/;
const CLOSED = 0;
/** The state of sockets that a peer has connected; ours listen. */
const CONNECTED = 1;
/** cids are 0 to 12; others are ignored. */
const MAX_SOCKET = 12;

/** SIM7070, SIM7080, SIM7090: the CA commands of "SIM7000 Series AT Command Manual" V1.06, chapter 18. */
const grammar: Grammar = {
  confirmation: 'may',
  words: {
    sendResults: [],
    errorNames: [],
    answerNames: { '+CCID': ['+ICCID'] },
    namedAnswers: [],
  },
  echoesPayloads: false,
  action,
  header,
  inline,
  meaning,
};

function action({ verb, form, args }: CommandPart): Action | undefined {
  const [first, second, third, fourth, fifth, sixth] = args;
  const socket = wholeNumber(form === '=' ? (verb === '+CACFG' ? second : first) : undefined);
  if (socket === undefined) return undefined;
  switch (verb) {
    case '+CNACT':
      return { type: 'set', apply: ({ sockets }) => sockets.clear() };
    case '+CACFG':
      if (first !== 'REMOTEADDR') return undefined;
      return { type: 'set', apply: (modem) => recordPeer(modem, socket, third, fourth) };
    case '+CAOPEN':
      return { type: 'open', socket, state: { ...pushMode(sixth), ...peerOf(fourth, fifth) } };
    case '+CASERVER':
      return { type: 'open', socket, state: pushMode(fifth) };
    case '+CACLOSE':
      return { type: 'close', socket, later: false };
    case '+CARECV':
      return { type: 'read', socket, most: wholeNumber(second) ?? Number.POSITIVE_INFINITY, hex: false };
    case '+CASEND': {
      // Without a length it asks for the free room.
      const bytes = wholeNumber(second);
      return bytes === undefined || bytes === 0 ? undefined : { type: 'send', socket, bytes };
    }
  }
  return undefined;
}

const pushMode = (mode: string | undefined) => (mode === undefined ? {} : { push: mode === '1' });

function recordPeer(modem: ModemState, socket: number, address: string | undefined, port: string | undefined): void {
  modem.sockets.set(socket, { ...modem.sockets.get(socket), ...peerOf(address, port) });
}

function header(line: string, modem: ModemState, inFlight: Action | undefined): Header | undefined {
  const [cid, count, address, port] = matchGroups(PUSH, line) ?? [];
  if (cid !== undefined) {
    const isPush = modem.sockets.get(Number(cid))?.push !== false;
    if (!isPush || !isLength(Number(count))) return undefined;
    return { from: 'push', socket: Number(cid), length: Number(count), ...endpointOf(address, port) };
  }
  const [read, length] = matchGroups(ON_ITS_OWN_LINE, line) ?? [];
  if (inFlight?.type !== 'read' || Number(read) !== inFlight.socket) return undefined;
  return readHeader(inFlight, Number(length));
}

/**
 * The payload begins right after the comma that follows its length. Devices print `<len>,`, manuals also
 * `<cid>,<len>,`: where the number could be either, the next bytes decide.
 */
function inline(beginning: string, _modem: ModemState, inFlight: Action | undefined): Header | undefined {
  if (inFlight?.type !== 'read' || !beginning.startsWith('+CARECV:')) return undefined;
  const { socket } = inFlight;
  const [cid, address, port, count] = matchGroups(WITH_SOURCE, beginning) ?? [];
  if (address !== undefined) {
    return cid === undefined || Number(cid) === socket
      ? readHeader(inFlight, Number(count), endpointOf(address, port))
      : undefined;
  }
  const [number, length] = matchGroups(TWO_NUMBERS, beginning) ?? [];
  if (number !== undefined) return Number(number) === socket ? readHeader(inFlight, Number(length)) : undefined;
  const [alone] = matchGroups(ONE_NUMBER, beginning) ?? [];
  if (alone !== undefined) return Number(alone) === socket ? undefined : readHeader(inFlight, Number(alone));
  // `+CARECV: 1,` from socket 1, and no second number after it: the payload has begun.
  const [ambiguous, ahead = ''] = matchGroups(ONE_AND_MORE, beginning) ?? [];
  if (UNDECIDED.test(ahead) || Number(ambiguous) !== socket || ahead.length > socket + 1) return undefined;
  return readHeader(inFlight, socket, { ahead: ahead.length });
}

function readHeader(
  { socket, most }: Extract<Action, { type: 'read' }>,
  length: number,
  more: Partial<Header> = {},
): Header | undefined {
  return isLength(length, most) ? { from: 'read', socket, length, ...more } : undefined;
}

function meaning(line: string, modem: ModemState, inFlight: Action | undefined): LineMeaning | undefined {
  const fields = fieldsOf(line);
  const [first, second] = fields.map(wholeNumber);
  const [server, client, address, port] = matchGroups(NEW, line) ?? [];
  if (server !== undefined) {
    // It is not documented whether the data are read from the new socket or from the one that listens.
    const sockets = [...new Set([Number(server), Number(client)])];
    for (const socket of sockets) recordPeer(modem, socket, address, port);
    return { type: 'pending', sockets };
  }
  if (line.startsWith('+CADATAIND:')) {
    return first === undefined ? { type: 'garbage' } : { type: 'pending', sockets: [first] };
  }
  if (line.startsWith('+CARECV:')) return meaningOfReceive(line, first, inFlight);
  const [cid, count] = matchGroups(PUSH, line) ?? [];
  if (cid !== undefined) {
    const isPush = modem.sockets.get(Number(cid))?.push !== false;
    return isPush ? { type: 'garbage' } : { type: 'pending', sockets: [Number(cid)], bytes: Number(count) };
  }
  if (/^\+APP PDP: ?\d+, ?DEACTIVE$/.test(line)) return { type: 'urc', loss: 'context' };
  if (first === undefined || second === undefined || first > MAX_SOCKET) return undefined;
  if (/^\+CA(?:OPEN|SERVER): ?\d+,\d+$/.test(line)) {
    return { type: 'opened', socket: first, ...(second !== 0 && { error: describe(second) }) };
  }
  if (/^\+CASTATE: ?\d+,0$/.test(line)) return { type: 'closed', socket: first };
  if (/^\+CASEND: ?\d+,\d+(?:,\d+)?$/.test(line)) {
    return { type: 'sent', socket: first, ...(second !== 0 && { error: describe(second) }) };
  }
  return undefined;
}

function meaningOfReceive(
  line: string,
  first: number | undefined,
  inFlight: Action | undefined,
): LineMeaning | undefined {
  // The answer to `AT+CARECV?`.
  if (inFlight === undefined) return undefined;
  const isEmpty = (/^\+CARECV: ?\d+$/.test(line) && first === 0) || /^\+CARECV: ?\d+,0$/.test(line);
  if (inFlight.type !== 'read' || !isEmpty) return { type: 'garbage' };
  return { type: 'empty', socket: inFlight.socket };
}

/** The numbers of `+CAOPEN`, `+CASERVER` and `+CASEND`. */
const ERRORS: Readonly<Record<number, string>> = {
  1: 'socket error',
  2: 'no memory',
  3: 'connection limit',
  4: 'invalid parameter',
  6: 'invalid address',
  7: 'not supported',
  12: 'bind failed',
  13: 'listen failed',
  20: 'DNS failed',
  21: 'network not active',
  23: 'connection refused',
  24: 'certificate',
  25: 'certificate',
  26: 'certificate',
  27: 'connect failed',
};

const describe = (code: number): string => `error ${code}${ERRORS[code] ? ` (${ERRORS[code]})` : ''}`;

const ACTIVATE_TIMEOUT_MS = 60_000;
const PDP_TIMEOUT_MS = 10_000;
const SEND_TIMEOUT_MS = 30_000;
const MAX_BYTES = 1459;
const NETWORK_NOT_ACTIVE = /error 21\b/;

export const simcom7080: Dialect = {
  grammar,
  models: /^(?:SIMCOM_)?SIM70[789]0/i,
  slowCommands: ['+CNACT', '+CAOPEN', '+CASERVER', '+SNPING4'],
  hexSends: [],
  maxSend: MAX_BYTES,
  maxSockets: MAX_SOCKET + 1,
  iccid: 'AT+CCID',
  radio: [
    { command: 'AT+CNMP=38', unless: { ask: 'AT+CNMP?', answer: '38' } },
    { command: 'AT+CMNB=1', unless: { ask: 'AT+CMNB?', answer: '1' } },
    { command: 'AT+CSCLK=0' },
  ],
  reset: 'AT+CFUN=1,1',
  activate,
  *deactivate() {
    yield* attempt('AT+CNACT=0,0', ACTIVATE_TIMEOUT_MS, {
      second: { find: lineMatching(/^\+APP PDP: ?0, ?DEACTIVE$/), timeoutMs: PDP_TIMEOUT_MS, optional: true },
    });
  },
  listen,
  receive: (socket, most) => readUntilEmpty(readCommand(socket), most, 'gone'),
  poll,
  send,
  *close(socket) {
    yield* attempt(`AT+CACLOSE=${socket}`);
  },
};

const readCommand = (socket: number) => `AT+CARECV=${socket},${MAX_BYTES}`;
const peerCommand = (socket: number, { address, port }: Endpoint) =>
  // Without quotation marks, as the vendor's own example has it.
  `AT+CACFG="REMOTEADDR",${socket},${address},${port}`;

function* activate(apn: string): Script<void> {
  // Not all firmware reports the source.
  yield* attempt('AT+CASRIP=1');
  const state = yield* attempt('AT+CNACT?');
  if (state.ok && state.lines.some((line) => /^\+CNACT: ?0,[12],/.test(line))) return;
  yield* attempt(`AT+CNCFG=0,1,"${apn}"`);
  yield* mustSucceed('context', 'AT+CNACT=0,1', ACTIVATE_TIMEOUT_MS, {
    second: {
      find: lineMatching(/^\+APP PDP: ?0, ?ACTIVE$/, /^\+APP PDP: ?0, ?DEACTIVE$/),
      timeoutMs: PDP_TIMEOUT_MS,
    },
  });
}

/** Reads also from sockets that a listening one has made for its peers, as the modem may not have announced them. */
function* poll(socket: number): Script<void> {
  const states = yield* attempt('AT+CASTATE?');
  for (const line of states.lines) {
    const [cid, state] = (matchGroups(STATE, line) ?? []).map((field) => wholeNumber(field));
    if (cid === undefined || cid > MAX_SOCKET) continue;
    if (cid === socket && state === CLOSED) throw new ModemFaultError('socket', `socket ${socket} is closed`);
    if (cid !== socket && state === CONNECTED) yield* readUntilEmpty(readCommand(cid), MAX_READS, 'empty');
  }
  yield* readUntilEmpty(readCommand(socket), MAX_READS, 'gone');
}

function* listen(port: number, index: number, gateway: Endpoint): Script<number> {
  const command = `AT+CASERVER=${index},0,"UDP",${port}`;
  yield* attempt(`AT+CACLOSE=${index}`);
  const outcome = yield* attempt(command, TIMEOUT.radio, {
    second: { find: opened(index), timeoutMs: TIMEOUT.radio, optional: true },
  });
  if (!outcome.ok) {
    throw new ModemFaultError(
      NETWORK_NOT_ACTIVE.test(outcome.error) ? 'context' : 'socket',
      `${command}: ${outcome.error}`,
    );
  }
  yield* mustSucceed('socket', peerCommand(index, gateway));
  return index;
}

function* send(socket: number, to: Endpoint, bytes: Buffer, gateway: Endpoint): Script<void> {
  const isElsewhere = to.address !== gateway.address || to.port !== gateway.port;
  if (isElsewhere) yield* mustSucceed('send', peerCommand(socket, to));
  const command = `AT+CASEND=${socket},${bytes.length}`;
  const outcome = yield sendRequest(command, bytes, socket, SEND_TIMEOUT_MS, {
    busy: { is: ({ text }) => text === 'ERROR', waitMs: 500, times: 2 },
  });
  const answers = outcome.ok || outcome.failure === 'refused' || outcome.failure === 'timeout';
  // Otherwise the next datagram to the gateway would go there as well.
  if (isElsewhere && answers) yield* mustSucceed('socket', peerCommand(socket, gateway));
  if (!outcome.ok) throw sendFault(command, outcome);
}
