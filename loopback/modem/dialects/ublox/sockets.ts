import type { Endpoint } from '../../../network/network.js';
import { type AtCommand, hexBytes, integer } from '../../at/command-line.js';
import type { AtAnswer } from '../../at/interpreter.js';
import { latin1 } from '../../at/output-unit.js';
import type { Received } from '../dialect.js';
import { enqueue, type ModemSocket, takeFirst, unreadBytes } from '../sockets.js';
import { ERRNO, fail, isActive, LAST_ID, socketOf, succeed, type UbloxState, UDP } from './state.js';

const MAX_BINARY = 1024;
const MAX_HEX = 512;
const CLOSING_MS = 20;
/** Time from a read to the URC for what is left to read. */
const REPEATED_URC_MS = 5;
/** The manual asks for 50 ms between the prompt and the data; less by what timers may be early. */
const PROMPT_IGNORE_MS = 45;

const maxBytes = ({ hex }: UbloxState) => (hex.current === 1 ? MAX_HEX : MAX_BINARY);

/** `AT+USOCR`. */
export function handleCreate(state: UbloxState, { args }: AtCommand, answer: AtAnswer) {
  const { sockets } = state;
  const port = integer(args[1] ?? '0', 0, 65_535);
  const id = Array.from({ length: LAST_ID + 1 }, (_, number) => number).find((number) => !sockets.get(number));
  if (args[0] !== UDP || port === undefined) return fail(state, answer, ERRNO.invalid);
  if (!isActive(state) || id === undefined) return fail(state, answer, ERRNO.unreachable);
  if (sockets.open(id, port) === undefined) return fail(state, answer, ERRNO.inUse);
  answer.line(`+USOCR: ${id}`);
  succeed(state, answer);
}

/** `AT+USOST`. */
export function handleSendTo(state: UbloxState, { args }: AtCommand, answer: AtAnswer) {
  const { context, hex } = state;
  const [id, address, portText, lengthText, inline] = args;
  const socket = socketOf(state, id);
  const port = integer(portText, 1, 65_535);
  const length = integer(lengthText, 1, MAX_BINARY);
  if (socket === undefined) return fail(state, answer, ERRNO.badSocket);
  if (address === undefined || port === undefined) return fail(state, answer, ERRNO.invalid);
  if (length === undefined || length > maxBytes(state)) return fail(state, answer, ERRNO.tooLong);
  if (context.sendIsBusy()) return fail(state, answer, ERRNO.again);
  const peer = { address, port };
  if (inline !== undefined || hex.current === 1) {
    const bytes = hex.current === 1 ? hexBytes(inline) : latin1(inline ?? '');
    if (bytes?.length === length) transmit(state, answer, socket, bytes, peer);
    else fail(state, answer, ERRNO.invalid);
    return;
  }
  state.sending = socket;
  answer.collect({
    prompt: context.prompt('\r\n@'),
    length,
    echo: context.echo(),
    ignoreMs: PROMPT_IGNORE_MS,
    done(bytes) {
      state.sending = undefined;
      state.refusesSends &&= socket.queue.length > 0;
      if (bytes === undefined || state.refusesSends) return fail(state, answer, ERRNO.again);
      transmit(state, answer, socket, bytes, peer);
    },
  });
}

function transmit(state: UbloxState, answer: AtAnswer, socket: ModemSocket, bytes: Buffer, peer: Endpoint) {
  const { context } = state;
  if (context.sendFails()) return fail(state, answer, ERRNO.again);
  if (!isActive(state) || !context.transmit(bytes, socket.port, peer)) return fail(state, answer, ERRNO.unreachable);
  answer.line(`+USOST: ${socket.id},${bytes.length}`);
  succeed(state, answer);
}

/** `AT+USORF` and `AT+USORD`. */
export function handleRead(state: UbloxState, { name, args }: AtCommand, answer: AtAnswer) {
  const { context, quirks, sockets, hex } = state;
  const socket = socketOf(state, args[0]);
  const wanted = integer(args[1], 0, maxBytes(state));
  if (socket === undefined) return fail(state, answer, ERRNO.badSocket);
  if (wanted === undefined) return fail(state, answer, ERRNO.invalid);
  if (wanted === 0) {
    answer.line(`${name}: ${socket.id},${unreadBytes(socket)}`);
    return succeed(state, answer);
  }
  const isLong = (socket.queue[0]?.bytes.length ?? 0) > wanted;
  const datagram = takeFirst(socket, wanted);
  if (datagram === undefined) {
    if (!state.isR4) return fail(state, answer, ERRNO.again);
    answer.line(`${name}: ${socket.id},""`);
    return succeed(state, answer);
  }
  const { bytes, source } = datagram;
  if (quirks.long === 'cut' && isLong) socket.queue.shift();
  const comma = quirks.commaSpace === 'yes' ? ', ' : ',';
  const from = name === '+USORF' ? `${comma}"${source.address}"${comma}${source.port}` : '';
  const payload = hex.current === 1 ? latin1(bytes.toString('hex').toUpperCase()) : bytes;
  const header = `\r\n${name}: ${socket.id}${from}${comma}${bytes.length}${comma}"`;
  answer.data(header, payload, '"\r\n');
  state.lastError = ERRNO.none;
  answer.result(latin1(quirks.trailer === 'plain' ? 'OK\r\n' : '\r\nOK\r\n'), true);
  context.clock.after(REPEATED_URC_MS, () => {
    if (sockets.get(socket.id) === socket) announce(state, socket);
  });
}

/** `AT+USOCL`. */
export function handleClose(state: UbloxState, { args }: AtCommand, answer: AtAnswer) {
  const { context, sockets } = state;
  const socket = socketOf(state, args[0]);
  if (socket === undefined) return fail(state, answer, ERRNO.badSocket);
  if (state.isR4 && args[1] === '1') {
    succeed(state, answer);
    context.clock.after(CLOSING_MS, () => {
      sockets.close(socket.id);
      context.delayedResult(`+UUSOCL: ${socket.id}`);
    });
    return;
  }
  answer.later(CLOSING_MS, () => {
    sockets.close(socket.id);
    succeed(state, answer);
  });
}

/** `AT+USOCTL`. */
export function handleControl(state: UbloxState, { args }: AtCommand, answer: AtAnswer) {
  const socket = socketOf(state, args[0]);
  const what = integer(args[1], 0, 1);
  if (socket === undefined) return fail(state, answer, ERRNO.badSocket);
  if (what === undefined) return answer.cme(50);
  answer.line(`+USOCTL: ${socket.id},${what},${what === 0 ? UDP : state.lastError}`);
  answer.ok();
}

/** Delivers a datagram from the network. Returns whether a socket takes it. */
export function receiveDatagram(state: UbloxState, port: number, datagram: Received): boolean {
  const { context, sockets } = state;
  const socket = isActive(state) ? sockets.receiverAt(port, datagram.source) : undefined;
  if (socket === undefined) return false;
  if (state.isR4 && state.sending === socket) state.refusesSends = true;
  const wasEmpty = socket.queue.length === 0;
  if (!enqueue(socket, datagram)) context.note(`socket ${socket.id} is full: datagram discarded`);
  else if (wasEmpty) announce(state, socket);
  return true;
}

/** Prints the URC that tells how many bytes there are to read. */
function announce({ context, quirks }: UbloxState, socket: ModemSocket): void {
  const name = quirks.model === 'SARA-R5' ? '+UUSORF' : '+UUSORD';
  const bytes = unreadBytes(socket);
  if (bytes > 0) context.urc(`${name}: ${socket.id},${bytes}`);
}
