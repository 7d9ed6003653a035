import { isIPv4 } from 'node:net';
import type { Endpoint } from '../../endpoint.js';
import { type CommandPart, fieldsOf, wholeNumber } from '../at/command-line.js';
import { type Action, type Grammar, isLength, type LineMeaning, type ModemState, matchGroups } from '../at/grammar.js';
import type { Header } from '../at/parser.js';
import { answerOf, attempt, ModemFaultError, pause, type Script, TIMEOUT } from '../at/script.js';
import type { Dialect } from './dialect.js';
import { lineMatching, opened, sendFault, sendRequest } from './sockets.js';

const SOURCE = /^\+?RECV FROM: ?([\d.]+):(\d{1,5})$/;
const IPD = /^\+IPD(\d+)$/;
/** With `AT+CIPCCFG=10,0,0,0,1,0,75000`. */
const RECEIVE = /^\+RECEIVE,(\d+),(\d+):$/;
const MANUAL = /^\+CIPRXGET: ?([23]),(\d+),(\d+),(\d+)$/;

/** SIM7500, SIM7600, A7600, A7670, A7672: "A7600 Series TCPIP Application Note" V1.00. */
const grammar: Grammar = {
  confirmation: 'around',
  words: {
    sendResults: [],
    errorNames: ['+IP ERROR'],
    answerNames: { '+CICCID': ['+ICCID'], '+CCID': ['+ICCID'] },
    namedAnswers: ['+NETOPEN', '+NETCLOSE', '+IPADDR'],
  },
  echoesPayloads: false,
  action,
  header,
  meaning,
};

function action({ verb, form, args: [first, second, third] }: CommandPart, modem: ModemState): Action | undefined {
  if (verb === '+NETCLOSE' && form === '') return { type: 'set', apply: ({ sockets }) => sockets.clear() };
  if (form !== '=') return undefined;
  if (verb === '+CIPRXGET') return receive(first, wholeNumber(second), wholeNumber(third));
  const socket = wholeNumber(first);
  if (socket === undefined) return undefined;
  switch (verb) {
    case '+CIPOPEN':
      return { type: 'open', socket, state: { push: modem.manual !== true } };
    case '+CIPCLOSE':
      return { type: 'close', socket, later: true };
    case '+CIPSEND': {
      const bytes = second ? wholeNumber(second) : 'ctrl-z';
      return bytes === undefined || bytes === 0 ? undefined : { type: 'send', socket, bytes };
    }
  }
  return undefined;
}

function receive(mode: string | undefined, socket: number | undefined, most: number | undefined): Action | undefined {
  if (mode === '0' || mode === '1') {
    return {
      type: 'set',
      apply: (modem) => {
        modem.manual = mode === '1';
      },
    };
  }
  if (socket === undefined) return undefined;
  if (mode === '4') return { type: 'count', socket };
  if (mode !== '2' && mode !== '3') return undefined;
  return { type: 'read', socket, most: most ?? Number.POSITIVE_INFINITY, hex: mode === '3' };
}

function header(line: string, modem: ModemState, inFlight: Action | undefined): Header | undefined {
  const [mode, socket, count] = matchGroups(MANUAL, line) ?? [];
  if (mode !== undefined) {
    const length = Number(count);
    if (inFlight?.type !== 'read' || Number(socket) !== inFlight.socket || inFlight.hex !== (mode === '3'))
      return undefined;
    if (!isLength(length, inFlight.most)) return undefined;
    return { from: 'read', socket: inFlight.socket, length, hex: inFlight.hex };
  }
  if (modem.manual === true) return undefined;
  const [link, linkCount] = matchGroups(RECEIVE, line) ?? [];
  const length = Number(linkCount ?? matchGroups(IPD, line)?.[0] ?? 0);
  if (!isLength(length)) return undefined;
  const source = modem.source;
  modem.source = undefined;
  return { from: 'push', length, ...(link !== undefined && { socket: Number(link) }), ...source };
}

function meaning(line: string, modem: ModemState, inFlight: Action | undefined): LineMeaning | undefined {
  const [address, port] = matchGroups(SOURCE, line) ?? [];
  if (address !== undefined) {
    if (!isIPv4(address) || modem.manual === true) return { type: 'garbage' };
    return { type: 'source', endpoint: { address, port: Number(port) } };
  }
  if (/^\+(?:IPD|RECEIVE\b)/.test(line)) return { type: 'garbage' };
  if (/^\+(?:IP ERROR|CIPERROR):/.test(line)) return inFlight === undefined ? undefined : { type: 'detail' };
  if (line.startsWith('+CIPEVENT:')) return { type: 'urc', loss: 'context' };
  const fields = fieldsOf(line).map(wholeNumber);
  const [first, second] = fields;
  if (line.startsWith('+CIPRXGET:')) return meaningOfReceive(fields, inFlight);
  if (first === undefined || second === undefined) return undefined;
  if (/^\+CIPOPEN: ?\d+,\d+$/.test(line)) {
    return { type: 'opened', socket: first, ...(second !== 0 && { error: describe(second) }) };
  }
  // The answer to `AT+CIPCLOSE?` has ten fields.
  if (/^\+CIPCLOSE: ?\d+,0$/.test(line) || line.startsWith('+IPCLOSE:')) return { type: 'closed', socket: first };
  const [link, requested, confirmed] = matchGroups(/^\+CIPSEND: ?(\d+),(\d+),(-?\d+)$/, line) ?? [];
  if (link === undefined) return undefined;
  return { type: 'sent', socket: Number(link), ...shortOf(Number(requested), Number(confirmed)) };
}

/** −1 says that the link is lost. */
function shortOf(requested: number, confirmed: number): { readonly error?: string } {
  if (confirmed === requested) return {};
  return { error: confirmed < 0 ? 'link lost' : `${confirmed} of ${requested} bytes sent` };
}

function meaningOfReceive(
  [mode, socket, count]: readonly (number | undefined)[],
  inFlight: Action | undefined,
): LineMeaning {
  if (socket === undefined) return { type: 'information' };
  if (mode === 1) return { type: 'pending', sockets: [socket] };
  if (mode === 4 && inFlight?.type === 'count' && count !== undefined) {
    return { type: 'counted', socket, bytes: count };
  }
  const isEmpty = inFlight?.type === 'read' && inFlight.socket === socket && count === 0;
  return isEmpty ? { type: 'empty', socket } : { type: 'garbage' };
}

/** The numbers of `+CIPOPEN`, `+CIPERROR` and the others of their kind. */
const ERRORS = [
  'succeeded',
  'network failure',
  'network not opened',
  'wrong parameter',
  'not supported, or no such link',
  'create socket failed',
  'bind failed',
  'already listening',
  'busy',
  'sockets still open',
  'timed out',
  'DNS failed',
  'unknown error',
] as const;

const describe = (code: number): string => `error ${code}${ERRORS[code] ? ` (${ERRORS[code]})` : ''}`;

const NETWORK_TIMEOUT_MS = 120_000;
const SECOND_TIMEOUT_MS = 10_000;
const NOT_OPENED = /network not opened/i;

export const simcom7600: Dialect = {
  grammar,
  models: /^(?:SIMCOM_)?(?:SIM7[56]00|A76\d\d)/i,
  slowCommands: ['+NETOPEN', '+NETCLOSE', '+CIPOPEN', '+CIPCLOSE', '+CPING'],
  hexSends: [],
  maxSend: 1500,
  // `+IPD` does not name its socket.
  maxSockets: 1,
  iccid: 'AT+CICCID',
  radio: [{ command: 'AT+CSCLK=0' }, { command: 'AT+CSOCKSETPN=1' }],
  reset: 'AT+CFUN=1,1',
  activate,
  *deactivate() {
    yield* closeNetwork();
  },
  listen,
  *poll(socket) {
    const network = yield* attempt('AT+IPADDR');
    if (!network.ok && NOT_OPENED.test(network.error))
      throw new ModemFaultError('context', `AT+IPADDR: ${network.error}`);
    if ((yield* linkStates())[socket] === '0') throw new ModemFaultError('socket', `socket ${socket} is closed`);
  },
  send,
  *close(socket) {
    yield* attempt(`AT+CIPCLOSE=${socket}`, TIMEOUT.radio);
  },
};

/** With these settings the modem sends payloads unasked, with source and count. */
const SETTINGS = ['AT+CIPMODE=0', 'AT+CIPSRIP=1', 'AT+CIPHEAD=1', 'AT+CIPRXGET=0'] as const;

function* activate(): Script<void> {
  if (!(yield* applySettings())) {
    // Some modems accept them only while the network is closed.
    yield* closeNetwork();
    if (!(yield* applySettings())) throw new ModemFaultError('refused', `${SETTINGS.join(', ')}: refused`);
  }
  const state = yield* attempt('AT+NETOPEN?');
  if (answerOf(state, '+NETOPEN')?.startsWith('1')) return;
  const outcome = yield* attempt('AT+NETOPEN', NETWORK_TIMEOUT_MS, {
    second: { find: lineMatching(/^\+NETOPEN: ?0$/, /^\+NETOPEN: ?[1-9]/), timeoutMs: NETWORK_TIMEOUT_MS },
  });
  if (!outcome.ok && !/already opened/i.test(outcome.error)) {
    throw new ModemFaultError('context', `AT+NETOPEN: ${outcome.error}`);
  }
}

function* applySettings(): Script<boolean> {
  let accepted = true;
  for (const setting of SETTINGS) accepted = (yield* attempt(setting)).ok && accepted;
  // An OK is not enough: without them the beginning and the source of a payload are unknown.
  for (const name of ['+CIPSRIP', '+CIPHEAD']) {
    const value = answerOf(yield* attempt(`AT${name}?`), name);
    accepted &&= value === undefined || value === '1';
  }
  return accepted;
}

/** Reads the states of all sockets, `1` for open. */
function* linkStates(): Script<readonly string[]> {
  const outcome = yield* attempt('AT+CIPCLOSE?');
  return (answerOf(outcome, '+CIPCLOSE') ?? '').split(',').map((state) => state.trim());
}

function* closeNetwork(): Script<void> {
  // Some modems do not close the network while a socket is open.
  for (const [link, state] of (yield* linkStates()).entries()) {
    if (state === '1') yield* attempt(`AT+CIPCLOSE=${link}`, TIMEOUT.radio);
  }
  yield* attempt('AT+NETCLOSE', NETWORK_TIMEOUT_MS, {
    second: { find: lineMatching(/^\+NETCLOSE: ?\d+$/), timeoutMs: SECOND_TIMEOUT_MS, optional: true },
  });
}

function* listen(port: number, index: number): Script<number> {
  const command = `AT+CIPOPEN=${index},"UDP",,,${port}`;
  yield* attempt(`AT+CIPCLOSE=${index}`, TIMEOUT.radio);
  let error = '';
  for (let tries = 0; tries < 3; tries++) {
    // Right after NETOPEN the network may not be ready.
    if (tries > 0) yield* pause(1000);
    const outcome = yield* attempt(command, NETWORK_TIMEOUT_MS, {
      second: { find: opened(index), timeoutMs: NETWORK_TIMEOUT_MS },
    });
    if (outcome.ok) return index;
    error = outcome.error;
    if (!NOT_OPENED.test(error)) break;
  }
  throw new ModemFaultError(NOT_OPENED.test(error) ? 'context' : 'socket', `${command}: ${error}`);
}

function* send(socket: number, { address, port }: Endpoint, bytes: Buffer): Script<void> {
  const command = `AT+CIPSEND=${socket},${bytes.length},"${address}",${port}`;
  const outcome = yield sendRequest(command, bytes, socket, NETWORK_TIMEOUT_MS);
  if (outcome.ok) return;
  if (outcome.failure !== 'refused') throw sendFault(command, outcome);
  const code = wholeNumber(/^\+CIPERROR: ?(\d+)$/.exec(outcome.error)?.[1]);
  const fault = code === 2 ? 'context' : code === 4 || /link lost/.test(outcome.error) ? 'socket' : 'send';
  throw new ModemFaultError(fault, `${command}: ${code === undefined ? outcome.error : describe(code)}`);
}
