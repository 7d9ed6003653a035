import { type AtCommand, integer } from '../../at/command-line.js';
import type { AtAnswer } from '../../at/interpreter.js';
import { latin1 } from '../../at/output-unit.js';
import type { Received } from '../dialect.js';
import { enqueue, type ModemSocket, takeFirst, takeStream, unreadBytes } from '../sockets.js';
import type { QuectelErrorCode } from './errors.js';
import { end, LAST_ID, OWN_PORT, printsUrcs, printUrc, type QuectelState, socketOf, urcPrefix } from './state.js';

const MAX_READ = 1500;
const OPENING_MS = 30;
const CLOSING_MS = 20;

/** `AT+QIOPEN`. */
export function handleOpen(state: QuectelState, { args }: AtCommand, answer: AtAnswer) {
  const [contextId, idText, type = '', address = '', remote, local, mode = '0'] = args;
  const id = integer(idText, 0, LAST_ID);
  const remotePort = integer(remote, 0, 65_535);
  const localPort = integer(local ?? '0', 0, 65_535);
  const service = type === 'UDP SERVICE';
  if (integer(contextId, 1, 16) === undefined || id === undefined || remotePort === undefined) {
    return end(state, answer, 552);
  }
  if (localPort === undefined || (service && localPort === 0)) return end(state, answer, 552);
  // Transparent access is for TCP and for a UDP client.
  if (mode !== '0' && mode !== '1') return end(state, answer, mode === '2' && !service ? 555 : 552);
  if (!service && type !== 'UDP') return end(state, answer, type.startsWith('TCP') ? 555 : 552);
  end(state, answer, 0);
  state.context.clock.after(OPENING_MS, () => {
    const code = openSocket(state, id, localPort, service ? undefined : { address, port: remotePort });
    if (code === 0) state.details.set(id, { service, mode: mode === '1' ? 'push' : 'buffer', read: 0 });
    state.lastError = code;
    state.context.delayedResult(`+QIOPEN: ${id},${code}`);
  });
}

function openSocket(
  { sockets, active }: QuectelState,
  id: number,
  port: number,
  peer: ModemSocket['peer'],
): QuectelErrorCode {
  if (sockets.get(id) !== undefined) return 563;
  if (!active) return 561;
  return sockets.open(id, port, peer) === undefined ? 556 : 0;
}

/** `AT+QICLOSE`. */
export function handleClose(state: QuectelState, { args }: AtCommand, answer: AtAnswer) {
  const id = integer(args[0], 0, LAST_ID);
  if (id === undefined) return end(state, answer, 552);
  const closeSocket = () => {
    const wasOpen = state.sockets.get(id) !== undefined;
    state.sockets.close(id);
    state.details.delete(id);
    end(state, answer, 0);
    if (wasOpen && state.settings.get('close/mode') === '1') printUrc(state, `"closed",${id}`);
  };
  answer.later(CLOSING_MS, closeSocket, 'ignore-input');
}

/** `AT+QISTATE`. */
export function handleState(state: QuectelState, { kind, args }: AtCommand, answer: AtAnswer): void {
  const { sockets, details, context } = state;
  const only = kind === 'set' && args[0] === '1' ? integer(args[1], 0, LAST_ID) : undefined;
  for (const { id, port, peer, closed } of sockets.all()) {
    if (only !== undefined && id !== only) continue;
    const own = context.cellular.persistent.address;
    const [type, address, remote] = peer ? ['UDP', peer.address, peer.port] : ['UDP SERVICE', own, 0];
    const mode = details.get(id)?.mode === 'push' ? 1 : 0;
    answer.line(`+QISTATE: ${id},"${type}","${address}",${remote},${port},${closed ? 4 : 2},1,0,${mode},"${OWN_PORT}"`);
  }
  end(state, answer, 0);
}

/** `AT+QIRD`. */
export function handleRead(state: QuectelState, { args }: AtCommand, answer: AtAnswer) {
  const socket = socketOf(state, args[0]);
  const details = socket && state.details.get(socket.id);
  if (socket === undefined || details === undefined || details.mode === 'push') return end(state, answer, 552);
  if (args[1] === '0') {
    const unread = unreadBytes(socket);
    answer.line(`+QIRD: ${details.read + unread},${details.read},${unread}`);
    return end(state, answer, 0);
  }
  const most = args[1] === undefined ? MAX_READ : integer(args[1], 1, MAX_READ);
  if (most === undefined) return end(state, answer, 552);
  const datagram = state.settings.get('udp/readmode') === '1' ? takeMerged(socket, most) : takeFirst(socket, most);
  if (datagram === undefined) {
    socket.armed = true;
    answer.line('+QIRD: 0');
    return end(state, answer, 0);
  }
  const { bytes } = datagram;
  details.read += bytes.length;
  const header = `\r\n+QIRD: ${bytes.length}${sourceField(state, socket, datagram)}${separator(state)}`;
  answer.data(header, payload(state, bytes), state.quirks.trailer === 'blank-line' ? '\r\n' : '');
  end(state, answer, 0);
}

function takeMerged(socket: ModemSocket, most: number): Received | undefined {
  const [first] = socket.queue;
  return first && { source: first.source, bytes: takeStream(socket, most) };
}

/** Delivers a datagram from the network. Returns whether a socket takes it. */
export function receiveDatagram(state: QuectelState, port: number, datagram: Received): boolean {
  const { context, sockets, settings, details } = state;
  const socket = state.active ? sockets.receiverAt(port, datagram.source) : undefined;
  if (socket === undefined) return false;
  const { bytes } = datagram;
  if (details.get(socket.id)?.mode === 'push') {
    if (!printsUrcs(state)) return true;
    const from = sourceField(state, socket, datagram);
    const header = `\r\n${urcPrefix(state)}"recv",${socket.id},${bytes.length}${from}${separator(state)}`;
    context.emit({ kind: 'urc', bytes: Buffer.concat([latin1(header), payload(state, bytes), latin1('\r\n')]) });
  } else if (!enqueue(socket, datagram)) context.note(`socket ${socket.id} is full: datagram discarded`);
  else if (socket.armed) {
    socket.armed = false;
    printUrc(state, `"recv",${socket.id}${settings.get('recvind') === '1' ? `,${bytes.length}` : ''}`);
  }
  return true;
}

/** The source of a datagram, which only a `UDP SERVICE` socket prints. */
const sourceField = ({ details }: QuectelState, { id }: ModemSocket, { source }: Received) =>
  details.get(id)?.service ? `,"${source.address}",${source.port}` : '';

const separator = ({ settings }: QuectelState) => (settings.get('viewmode') === '1' ? ',' : '\r\n');

const payload = ({ settings }: QuectelState, bytes: Buffer) =>
  settings.get('dataformat')?.endsWith('1') ? latin1(bytes.toString('hex').toUpperCase()) : bytes;
