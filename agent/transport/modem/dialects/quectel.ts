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
import { answerOf, attempt, ModemFaultError, mustSucceed, type Script, TIMEOUT } from '../at/script.js';
import type { Dialect } from './dialect.js';
import { MAX_READS, opened, readUntilEmpty, sendFault, sendRequest } from './sockets.js';

const QIRD = /^\+QIRD: ?(\d+)(?:, ?"([^"]*)", ?(\d+))?$/;
const PUSH = /^\+QIURC: ?"recv", ?(\d+), ?(\d+)(?:, ?"([^"]*)", ?(\d+))?$/;
const URC = /^\+QIURC: ?"([a-z ]+)"(?:, ?(.*))?$/;

/** BG95, BG96, BG77, EC2x, EG2x, EG91: "TCP/IP Application Note", BG95&BG77&BG600L V1.1. */
const grammar: Grammar = {
  confirmation: 'result',
  words: {
    sendResults: ['SEND OK', 'SEND FAIL'],
    errorNames: [],
    answerNames: {},
    namedAnswers: ['+QIGETERROR'],
  },
  // QISDE=1 is the default, and has nothing to do with ATE.
  echoesPayloads: true,
  action,
  header,
  meaning,
};

function action({ verb, form, args: [first, second, third, ...rest] }: CommandPart): Action | undefined {
  if (form !== '=') return undefined;
  const socket = wholeNumber(first);
  switch (verb) {
    case '+QISDE':
      return set((modem) => {
        modem.payloadEcho = first === '1';
      });
    case '+QICFG':
      return first === 'dataformat' && third !== undefined
        ? set((modem) => {
            modem.hex = third === '1';
          })
        : undefined;
    case '+QIDEACT':
      return set((modem) => modem.sockets.clear());
    case '+QIOPEN': {
      const [host, remotePort, , mode] = [rest[0], rest[1], rest[2], rest[3]];
      const id = wholeNumber(second);
      const peer = third === 'UDP' || third === 'TCP' ? peerOf(host, remotePort) : {};
      return id === undefined ? undefined : { type: 'open', socket: id, state: { push: mode === '1', ...peer } };
    }
  }
  if (socket === undefined) return undefined;
  switch (verb) {
    case '+QICLOSE':
      return { type: 'close', socket, later: false };
    case '+QIRD':
      if (second === '0') return { type: 'count', socket };
      return { type: 'read', socket, most: wholeNumber(second) ?? Number.POSITIVE_INFINITY, hex: false };
    case '+QISENDEX':
      return { type: 'send', socket, bytes: undefined };
    case '+QISEND': {
      // With a length of 0 it asks how much has been acknowledged.
      const bytes = second === undefined ? 'ctrl-z' : wholeNumber(second);
      return bytes === undefined || bytes === 0 ? undefined : { type: 'send', socket, bytes };
    }
  }
  return undefined;
}

const set = (apply: (modem: ModemState) => void): Action => ({ type: 'set', apply });

function header(line: string, modem: ModemState, inFlight: Action | undefined): Header | undefined {
  if (inFlight?.type === 'read') {
    const [count, address, port] = matchGroups(QIRD, line) ?? [];
    const length = wholeNumber(count) ?? 0;
    if (isLength(length, inFlight.most)) {
      return { from: 'read', socket: inFlight.socket, length, hex: modem.hex, ...endpointOf(address, port) };
    }
  }
  const [id, count, address, port] = matchGroups(PUSH, line) ?? [];
  const length = wholeNumber(count) ?? 0;
  if (id === undefined || !isPush(modem, Number(id), address) || !isLength(length)) return undefined;
  return { from: 'push', socket: Number(id), length, hex: modem.hex, ...endpointOf(address, port) };
}

/**
 * `+QIURC: "recv",0,25` has data behind it in push mode, and none in buffer mode with "recvind": the mode that was
 * opened decides. Where that is unknown, only a push has an address.
 */
const isPush = (modem: ModemState, socket: number, address: string | undefined): boolean =>
  modem.sockets.get(socket)?.push ?? address !== undefined;

function meaning(line: string, modem: ModemState, inFlight: Action | undefined): LineMeaning | undefined {
  const [what, rest = ''] = matchGroups(URC, line) ?? [];
  if (what !== undefined) return meaningOfUrc(line, what, rest.split(','), modem);
  const [first, second, third] = fieldsOf(line).map(wholeNumber);
  if (line.startsWith('+QIRD:')) {
    if (inFlight?.type === 'count' && third !== undefined) {
      return { type: 'counted', socket: inFlight.socket, bytes: third };
    }
    return inFlight?.type === 'read' && first === 0 ? { type: 'empty', socket: inFlight.socket } : { type: 'garbage' };
  }
  if (/^\+QIOPEN: ?\d+,\d+$/.test(line) && first !== undefined) {
    return { type: 'opened', socket: first, ...(second !== 0 && { error: describe(second) }) };
  }
  // EC200U with QICFG="sendinfo",1; then OK takes the place of SEND OK.
  if (line.startsWith('+QISEND:') && inFlight?.type === 'send' && first === inFlight.socket) {
    return { type: 'sent', socket: first, ...(second !== 0 && { error: `status ${second}` }) };
  }
  if (line.startsWith('+QISTATE:')) recordState(fieldsOf(line), modem);
  return undefined;
}

function meaningOfUrc(line: string, what: string, rest: readonly string[], modem: ModemState): LineMeaning {
  const [socket, bytes] = rest.map((field) => wholeNumber(field.trim()));
  if (what === 'incoming' && socket !== undefined && bytes !== undefined) {
    // A connection to a socket that listens is a socket itself, of the same mode.
    modem.sockets.set(socket, { ...modem.sockets.get(bytes), ...peerOf(...endpointFields(rest)) });
  }
  if (what === 'recv') {
    if (socket === undefined) return { type: 'garbage' };
    const isHeader = isPush(modem, socket, matchGroups(PUSH, line)?.[2]);
    if (isHeader && rest.length > 1) return { type: 'garbage' };
    return { type: 'pending', sockets: [socket], ...(bytes !== undefined && { bytes }) };
  }
  if (what === 'closed' && socket !== undefined) return { type: 'closed', socket };
  return { type: 'urc', ...(what === 'pdpdeact' && { loss: 'context' }) };
}

const endpointFields = ([, , address, port]: readonly string[]) => [address?.replaceAll('"', ''), port] as const;

/** `+QISTATE: 0,"UDP SERVICE","10.1.2.3",0,6969,2,1,0,<mode>,"usbat"`: the next to last field is the access mode. */
function recordState(fields: readonly string[], modem: ModemState): void {
  const socket = wholeNumber(fields[0]);
  const mode = wholeNumber(fields[8]);
  if (socket === undefined || mode === undefined) return;
  const peer = fields[1] === 'UDP' || fields[1] === 'TCP' ? peerOf(fields[2], fields[3]) : {};
  modem.sockets.set(socket, { push: mode === 1, ...peer });
}

/** QIOPEN's result and QIGETERROR have the same numbers. */
const ERRORS: Readonly<Record<number, string>> = {
  550: 'unknown error',
  551: 'operation blocked',
  552: 'invalid parameters',
  553: 'memory not enough',
  554: 'create socket failed',
  555: 'operation not supported',
  556: 'bind failed',
  557: 'listen failed',
  558: 'write failed',
  559: 'read failed',
  560: 'accept failed',
  561: 'PDP context could not be opened',
  562: 'PDP context could not be closed',
  563: 'socket in use',
  564: 'DNS busy',
  565: 'DNS failed',
  566: 'connect failed',
  567: 'socket closed',
  568: 'busy',
  569: 'timed out',
  570: 'PDP context broken',
  571: 'send cancelled',
  572: 'not allowed',
  573: 'no APN',
  574: 'port busy',
};

const describe = (code: number | undefined): string =>
  code === undefined ? 'error without a number' : `error ${code}${ERRORS[code] ? ` (${ERRORS[code]})` : ''}`;

const OPEN_TIMEOUT_MS = 150_000;
const CLOSE_TIMEOUT_MS = 10_000;
const SEND_TIMEOUT_MS = 120_000;
const IN_USE = /error 563/;
const CONTEXT_LOST = /error (?:561|570)/;
/** Errors after which the socket cannot be used. */
const SOCKET_LOST: readonly (number | undefined)[] = [552, 566, 567];

export const quectel: Dialect = {
  grammar,
  models: /^(?:Quectel[ _])?(?:BG(?:95|96|77|600)|E[CG]\d\d)/i,
  slowCommands: ['+QIACT', '+QIDEACT', '+QIOPEN', '+QICLOSE', '+QPING'],
  hexSends: ['+QISENDEX'],
  maxSend: 1460,
  maxSockets: 12,
  iccid: 'AT+QCCID',
  radio: [{ command: 'AT+QSCLK=0' }, { command: 'AT+QCFG="iotopmode",0,1' }],
  reset: 'AT+CFUN=1,1',
  activate,
  *deactivate() {
    yield* attempt('AT+QIDEACT=1', 40_000);
  },
  listen,
  receive: (socket, most) => readUntilEmpty(`AT+QIRD=${socket}`, most, 'gone'),
  *poll(socket) {
    const outcome = yield* mustSucceed('socket', `AT+QIRD=${socket},0`);
    // The fields are: received, read, and not read.
    const waiting = answerOf(outcome, '+QIRD')?.split(',')[2];
    if (Number(waiting) > 0) yield* readUntilEmpty(`AT+QIRD=${socket}`, MAX_READS, 'gone');
  },
  send,
  *close(socket) {
    yield* attempt(`AT+QICLOSE=${socket}`, CLOSE_TIMEOUT_MS);
  },
};

const SETTINGS = [
  'AT+QISDE=0',
  'AT+QICFG="dataformat",0,0',
  'AT+QICFG="viewmode",0',
  // EC200U only: a read is a datagram, and a send is one.
  'AT+QICFG="udp/readmode",0',
  'AT+QICFG="udp/sendmode",0',
] as const;

function* activate(apn: string): Script<void> {
  // Lost by a reset, and another host may have changed them.
  for (const setting of SETTINGS) yield* attempt(setting);
  yield* attempt('AT+QURCCFG="urcport","all"');
  const state = yield* attempt('AT+QIACT?');
  // `AT+QIACT=1` is refused while the context is active.
  if (state.ok && state.lines.some((line) => /^\+QIACT: ?1,1/.test(line))) return;
  yield* mustSucceed('context', `AT+QICSGP=1,1,"${apn}","","",0`);
  yield* mustSucceed('context', 'AT+QIACT=1', OPEN_TIMEOUT_MS);
}

function* listen(port: number, index: number): Script<number> {
  const command = `AT+QIOPEN=1,${index},"UDP SERVICE","127.0.0.1",0,${port},0`;
  const second = { find: opened(index), timeoutMs: OPEN_TIMEOUT_MS };
  yield* attempt(`AT+QICLOSE=${index}`, CLOSE_TIMEOUT_MS);
  let outcome = yield* attempt(command, TIMEOUT.plain, { second });
  if (!outcome.ok && IN_USE.test(outcome.error)) {
    yield* attempt(`AT+QICLOSE=${index}`, CLOSE_TIMEOUT_MS);
    outcome = yield* attempt(command, TIMEOUT.plain, { second });
  }
  if (outcome.ok) return index;
  throw new ModemFaultError(CONTEXT_LOST.test(outcome.error) ? 'context' : 'socket', `${command}: ${outcome.error}`);
}

function* send(socket: number, { address, port }: Endpoint, bytes: Buffer): Script<void> {
  const command = `AT+QISEND=${socket},${bytes.length},"${address}",${port}`;
  const outcome = yield sendRequest(command, bytes, socket, SEND_TIMEOUT_MS, {
    // The buffer is full, and nothing was sent.
    busy: { is: ({ text }) => text === 'SEND FAIL', waitMs: 200, times: 3 },
  });
  if (outcome.ok) return;
  if (outcome.failure !== 'refused') throw sendFault(command, outcome);
  const reason = yield* attempt('AT+QIGETERROR');
  const code = wholeNumber(answerOf(reason, '+QIGETERROR')?.split(',')[0]);
  const fault = SOCKET_LOST.includes(code) ? 'socket' : code === 561 || code === 570 ? 'context' : 'send';
  throw new ModemFaultError(fault, `${command}: ${code === undefined ? outcome.error : describe(code)}`);
}
