import type { Endpoint } from '../../../network/network.js';
import { type AtCommand, integer } from '../../at/command-line.js';
import type { AtAnswer } from '../../at/interpreter.js';
import { latin1 } from '../../at/output-unit.js';
import type { Received } from '../dialect.js';
import { enqueue, type ModemSocket, takeFirst, unreadBytes } from '../sockets.js';
import { LAST_CID, type Simcom7080State, socketOf } from './state.js';

const MAX_SEND = 1459;
const MAX_READ = 1459;
const INPUT_TIMEOUT_MS = 5000;

/** `AT+CASERVER`. */
export function handleListen(state: Simcom7080State, { args }: AtCommand, answer: AtAnswer) {
  const cid = integer(args[0], 0, LAST_CID);
  const port = integer(args[3], 1, 65_535);
  if (cid === undefined || args[1] !== '0') return answer.cme(50);
  const wrong = port === undefined ? 4 : args[2] !== 'UDP' ? 7 : 0;
  const code = wrong || openSocket(state, cid, port ?? 0, { server: true, push: args[4] === '1' });
  answer.line(`+CASERVER: ${cid},${code}`);
  answer.ok();
}

/** `AT+CAOPEN`. */
export function handleConnect(state: Simcom7080State, { args }: AtCommand, answer: AtAnswer) {
  const cid = integer(args[0], 0, LAST_CID);
  const port = integer(args[4], 1, 65_535);
  const address = args[3];
  if (cid === undefined || args[1] !== '0' || address === undefined) return answer.cme(50);
  const wrong = port === undefined ? 4 : args[2] !== 'UDP' ? 7 : 0;
  const peer = { address, port: port ?? 0 };
  const localPort = state.localPorts.get(cid) ?? 0;
  const code = wrong || openSocket(state, cid, localPort, { server: false, push: args[5] === '1' }, peer);
  answer.line(`+CAOPEN: ${cid},${code}`);
  answer.ok();
}

/** Returns the result code, 0 when the socket is open. */
function openSocket(
  { active, sockets, details }: Simcom7080State,
  cid: number,
  port: number,
  kind: { server: boolean; push: boolean },
  peer?: Endpoint,
): number {
  if (!active) return 21;
  if (sockets.get(cid) !== undefined) return 1;
  if (sockets.open(cid, port, peer) === undefined) return 12;
  details.set(cid, { ...kind, peers: new Set() });
  return 0;
}

/** `AT+CACFG`. */
export function handleConfigure(
  { sockets, details, localPorts, remotes }: Simcom7080State,
  { args }: AtCommand,
  answer: AtAnswer,
) {
  const [key, cidText, first, second] = args;
  const cid = integer(cidText, 0, LAST_CID);
  if (cid === undefined) return answer.cme(50);
  if (key === 'LOCALPORT') {
    const port = integer(first, 1, 65_535);
    if (port === undefined) return answer.cme(50);
    localPorts.set(cid, port);
    return answer.ok();
  }
  const port = integer(second, 1, 65_535);
  if (key !== 'REMOTEADDR' || first === undefined || port === undefined) return answer.cme(50);
  if (sockets.get(cid) === undefined || details.get(cid)?.server !== true) return answer.cme(3);
  remotes.set(cid, { address: first, port });
  answer.ok();
}

/** `AT+CASEND`. */
export function handleSend(state: Simcom7080State, { args }: AtCommand, answer: AtAnswer) {
  const { context, quirks } = state;
  const socket = socketOf(state, args[0]);
  if (socket === undefined || socket.closed) return answer.cme(3);
  if (args.length === 1) {
    answer.line(`+CASEND: ${MAX_SEND}`);
    return answer.ok();
  }
  const length = integer(args[1], 1, MAX_SEND);
  const peer = socket.peer ?? state.remotes.get(socket.id);
  if (length === undefined) return answer.cme(50);
  if (peer === undefined) return answer.cme(3);
  // Congestion has no code.
  if (context.sendIsBusy()) return answer.error();
  answer.collect({
    prompt: context.prompt('\r\n>'),
    length,
    echo: context.echo(),
    timeoutMs: integer(args[2], 100, 10_000) ?? INPUT_TIMEOUT_MS,
    done(bytes) {
      if (bytes === undefined || context.sendFails() || !context.transmit(bytes, socket.port, peer)) {
        return answer.error();
      }
      const line = `+CASEND: ${socket.id},0,${length}`;
      if (quirks.sent === 'line-first') answer.line(line);
      answer.ok();
      if (quirks.sent === 'line-last') context.delayedResult(line);
    },
  });
}

/** `AT+CARECV`. */
export function handleRead(state: Simcom7080State, { kind, args }: AtCommand, answer: AtAnswer) {
  if (kind === 'read') {
    for (const socket of state.sockets.all()) answer.line(`+CARECV: ${socket.id},${unreadBytes(socket)}`);
    return answer.ok();
  }
  const socket = socketOf(state, args[0]);
  const most = integer(args[1], 1, MAX_READ);
  if (most === undefined) return answer.cme(50);
  if (socket === undefined) return answer.cme(3);
  const datagram = takeFirst(socket, most);
  if (datagram === undefined) {
    socket.armed = true;
    answer.line('+CARECV: 0');
    return answer.ok();
  }
  const { bytes, source } = datagram;
  const from = state.showsSource.current === 1 ? `${source.address},${source.port},` : '';
  const end = state.quirks.trailer === 'blank-line' ? '\r\n' : '';
  answer.data(`\r\n+CARECV: ${from}${bytes.length},`, bytes, end);
  answer.ok();
}

/** `AT+CACLOSE`. */
export function handleClose(state: Simcom7080State, { args }: AtCommand, answer: AtAnswer) {
  const socket = socketOf(state, args[0]);
  if (socket === undefined) return answer.cme(3);
  state.sockets.close(socket.id);
  state.details.delete(socket.id);
  state.remotes.delete(socket.id);
  answer.ok();
}

/** `AT+CASTATE`. */
export function handleState({ sockets, details }: Simcom7080State, _: AtCommand, answer: AtAnswer): void {
  for (const { id, closed } of sockets.all()) {
    answer.line(`+CASTATE: ${id},${closed ? 0 : details.get(id)?.server ? 2 : 1}`);
  }
  answer.ok();
}

/** Delivers a datagram from the network. Returns whether a socket takes it. */
export function receiveDatagram(state: Simcom7080State, port: number, datagram: Received): boolean {
  const { context, sockets, details } = state;
  const receiver = state.active ? sockets.receiverAt(port, datagram.source) : undefined;
  if (receiver === undefined) return false;
  if (details.get(receiver.id)?.push === true) {
    push(state, receiver, datagram);
    return true;
  }
  const { socket, urc } = queueFor(state, receiver, datagram.source);
  if (!enqueue(socket, datagram)) context.note(`socket ${socket.id} is full: datagram discarded`);
  else if (socket.armed) {
    socket.armed = false;
    context.urc(urc);
  }
  return true;
}

function push({ context, showsSource }: Simcom7080State, socket: ModemSocket, { bytes, source }: Received): void {
  const from = showsSource.current === 1 ? `,${source.address},${source.port}` : '';
  const header = `\r\n+CAURC: "recv",${socket.id},${bytes.length}${from}\r\n`;
  context.emit({ kind: 'urc', bytes: Buffer.concat([latin1(header), bytes, latin1('\r\n')]) });
}

/** The socket that queues what this peer sends to a listener, and the URC that announces it. */
function queueFor(
  state: Simcom7080State,
  listener: ModemSocket,
  source: Endpoint,
): { socket: ModemSocket; urc: string } {
  const { quirks, sockets, details } = state;
  const own = details.get(listener.id);
  const usual = { socket: listener, urc: `+CADATAIND: ${listener.id}` };
  if (quirks.newPeer === 'cadataind' || own?.server !== true) return usual;
  const name = `${source.address}:${source.port}`;
  const isNew = !own.peers.has(name);
  own.peers.add(name);
  if (quirks.newPeer === 'canew') return isNew ? { ...usual, urc: newPeerUrc(listener.id, 1, source) } : usual;
  const known = sockets.all().find(({ port, peer }) => port === listener.port && isSameEndpoint(peer, source));
  if (known !== undefined) return { socket: known, urc: `+CADATAIND: ${known.id}` };
  const cid = freeCid(state);
  if (cid === undefined) return usual;
  details.set(cid, { server: false, push: own.push, peers: new Set() });
  return { socket: sockets.accept(cid, listener.port, source), urc: newPeerUrc(listener.id, cid, source) };
}

const freeCid = ({ sockets }: Simcom7080State) =>
  Array.from({ length: LAST_CID + 1 }, (_, cid) => cid).find((cid) => !sockets.get(cid));

const isSameEndpoint = (peer: Endpoint | undefined, source: Endpoint) =>
  peer?.address === source.address && peer.port === source.port;

const newPeerUrc = (listener: number, cid: number, source: Endpoint) =>
  `+CANEW: ${listener},${cid},"${source.address}",${source.port}`;
