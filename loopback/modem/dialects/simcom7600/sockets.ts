import type { Endpoint } from '../../../network/network.js';
import { type AtCommand, integer } from '../../at/command-line.js';
import type { AtAnswer } from '../../at/interpreter.js';
import { latin1 } from '../../at/output-unit.js';
import type { Received } from '../dialect.js';
import { enqueue, type ModemSocket, takeStream, unreadBytes } from '../sockets.js';
import { setting } from '../standard-commands.js';
import { failWithIpError, failWithLine, LINKS, type Simcom7600State } from './state.js';

const MAX_SEND = 1500;
const MAX_READ = 1500;
const MAX_HEX_READ = 750;
const CLOSING_MS = 20;
/** Time after NETOPEN in which a socket cannot be opened yet. */
const SETTLING_MS = 1000;

/** `AT+CIPOPEN`. */
export function handleOpen(state: Simcom7600State, { kind, args }: AtCommand, answer: AtAnswer) {
  const { sockets, net } = state;
  if (kind === 'read') {
    for (let id = 0; id < LINKS; id += 1) answer.line(linkLine(id, sockets.get(id)));
    return answer.ok();
  }
  const [idText, type, address, remote, local] = args;
  const id = integer(idText, 0, LINKS - 1);
  if (id === undefined) return failWithIpError(answer, 'Invalid parameter');
  if (sockets.get(id) !== undefined) return failWithIpError(answer, 'Connection is already created');
  const localPort = integer(local, 1, 65_535);
  // A peer does not make up for the local port.
  if (type !== 'UDP' || localPort === undefined) return failWithLine(answer, `+CIPOPEN: ${id},3`);
  if (net === 'closed' || net === 'opening' || isSettling(state)) return failWithLine(answer, `+CIPOPEN: ${id},2`);
  if (net === 'broken') return failWithLine(answer, `+CIPOPEN: ${id},1`);
  const remotePort = integer(remote, 1, 65_535);
  const peer = address === undefined || remotePort === undefined ? undefined : { address, port: remotePort };
  if (sockets.open(id, localPort, peer) === undefined) return failWithLine(answer, `+CIPOPEN: ${id},6`);
  succeedWithLine(state, answer, `+CIPOPEN: ${id},0`);
}

const isSettling = ({ quirks, context, openedAt }: Simcom7600State) =>
  quirks.settles === 'yes' && context.clock.now() - openedAt < SETTLING_MS;

function linkLine(id: number, socket: ModemSocket | undefined): string {
  if (socket === undefined) return `+CIPOPEN: ${id}`;
  const { address, port } = socket.peer ?? { address: '0.0.0.0', port: 0 };
  return `+CIPOPEN: ${id},"UDP","${address}",${port},${socket.port}`;
}

/** Prints the line and OK, in the firmware's order. */
function succeedWithLine({ context, quirks }: Simcom7600State, answer: AtAnswer, line: string): void {
  if (quirks.order === 'line-first') answer.line(line);
  answer.ok();
  if (quirks.order === 'ok-first') context.delayedResult(line);
}

/** `AT+CIPSEND`. */
export function handleSend(state: Simcom7600State, { args }: AtCommand, answer: AtAnswer) {
  const { context, sockets, isA7670 } = state;
  const [idText, lengthText, address, remote] = args;
  const id = integer(idText, 0, LINKS - 1);
  const length = integer(lengthText, 1, MAX_SEND);
  const port = integer(remote, 1, 65_535);
  const fail = (code: number) => failWithLine(answer, `+CIPERROR: ${code}`);
  if (id === undefined || length === undefined || address === undefined || port === undefined) return fail(3);
  if (state.net === 'closed' || state.net === 'opening') return fail(2);
  const socket = sockets.get(id);
  if (socket === undefined || socket.closed) return fail(4);
  if (context.sendIsBusy()) return fail(8);
  answer.collect({
    prompt: context.prompt(isA7670 ? '\r\n> ' : '\r\n>'),
    length,
    echo: context.echo(),
    done(bytes) {
      if (bytes === undefined) return answer.error();
      if (context.sendFails()) return fail(1);
      const sent = state.net === 'open' && context.transmit(bytes, socket.port, { address, port });
      answer.ok();
      context.delayedResult(`+CIPSEND: ${id},${length},${sent ? length : -1}`);
    },
  });
}

/** `AT+CIPCLOSE`. */
export function handleClose(state: Simcom7600State, { kind, args }: AtCommand, answer: AtAnswer) {
  const { sockets } = state;
  if (kind === 'read') {
    const links = Array.from({ length: LINKS }, (_, id) => (sockets.get(id) === undefined ? 0 : 1));
    answer.line(`+CIPCLOSE: ${links.join(',')}`);
    return answer.ok();
  }
  const id = integer(args[0], 0, LINKS - 1);
  if (id === undefined) return failWithIpError(answer, 'Invalid parameter');
  if (sockets.get(id) === undefined) return failWithLine(answer, `+CIPCLOSE: ${id},4`);
  answer.later(CLOSING_MS, () => {
    sockets.close(id);
    succeedWithLine(state, answer, `+CIPCLOSE: ${id},0`);
  });
}

/** `AT+CIPRXGET`: manual reading, a stream of bytes that does not tell where they are from. */
export function handleRead(state: Simcom7600State, command: AtCommand, answer: AtAnswer) {
  const { sockets, readsManually } = state;
  const { kind, args } = command;
  const [mode, idText, lengthText] = args;
  if (kind !== 'set' || mode === '0' || mode === '1') {
    return setting('+CIPRXGET', 0, 1, readsManually)(command, answer);
  }
  const id = integer(idText, 0, LINKS - 1);
  const most = integer(lengthText ?? String(MAX_HEX_READ), 1, mode === '3' ? MAX_HEX_READ : MAX_READ);
  if (id === undefined || most === undefined || !['2', '3', '4'].includes(mode ?? '')) {
    return failWithIpError(answer, 'Invalid parameter');
  }
  if (readsManually.current === 0) return failWithIpError(answer, 'Operation not supported');
  const socket = sockets.get(id);
  if (socket === undefined) return failWithIpError(answer, 'Connection is not created');
  if (mode === '4') {
    answer.line(`+CIPRXGET: 4,${id},${unreadBytes(socket)}`);
    return answer.ok();
  }
  const bytes = takeStream(socket, most);
  if (socket.queue.length === 0) socket.armed = true;
  if (bytes.length === 0) return failWithIpError(answer, 'No data');
  const payload = mode === '3' ? latin1(bytes.toString('hex').toUpperCase()) : bytes;
  const header = `\r\n+CIPRXGET: ${mode},${id},${bytes.length},${unreadBytes(socket)}\r\n`;
  answer.data(header, payload, '\r\n');
  answer.ok();
}

/** Delivers a datagram from the network. Returns whether a socket takes it. */
export function receiveDatagram(state: Simcom7600State, port: number, datagram: Received): boolean {
  const { context, sockets, net, readsManually } = state;
  const socket = net === 'open' ? sockets.receiverAt(port, datagram.source) : undefined;
  if (socket === undefined) return false;
  if (readsManually.current === 0) push(state, socket, datagram.bytes, datagram.source);
  else if (!enqueue(socket, datagram)) context.note(`socket ${socket.id} is full: datagram discarded`);
  else if (socket.armed) {
    socket.armed = false;
    context.urc(`+CIPRXGET: 1,${socket.id}`);
  }
  return true;
}

function push(state: Simcom7600State, socket: ModemSocket, bytes: Buffer, source: Endpoint): void {
  const { context, showsSource, showsHeader, headerType } = state;
  const from = showsSource.current === 1 ? `RECV FROM:${source.address}:${source.port}\r\n` : '';
  const usual = showsHeader.current === 1 ? `+IPD${bytes.length}\r\n` : '';
  const count = headerType === 1 ? `+RECEIVE,${socket.id},${bytes.length}:\r\n` : usual;
  context.emit({ kind: 'urc', bytes: Buffer.concat([latin1(`\r\n${from}${count}`), bytes, latin1('\r\n')]) });
}
