import type { Endpoint } from '../../../network/network.js';
import { type AtCommand, hexBytes, integer } from '../../at/command-line.js';
import type { AtAnswer } from '../../at/interpreter.js';
import { framed } from '../../at/output-unit.js';
import type { ModemSocket } from '../sockets.js';
import { end, type QuectelState, socketOf } from './state.js';

const MAX_SEND = 1460;
const MAX_HEX_SEND = 512;

/** `AT+QISEND`. */
export function handleSend(state: QuectelState, { args }: AtCommand, answer: AtAnswer) {
  const { context, isEc200u, settings } = state;
  const socket = socketOf(state, args[0]);
  if (socket === undefined || socket.closed) return end(state, answer, 567);
  if (args[1] === '0' && args.length === 2) {
    answer.line('+QISEND: 0,0,0');
    return end(state, answer, 0);
  }
  const service = state.details.get(socket.id)?.service === true;
  const length = args[1] === undefined ? undefined : integer(args[1], 1, MAX_SEND);
  const port = service ? integer(args[3], 1, 65_535) : socket.peer?.port;
  const address = service ? args[2] : socket.peer?.address;
  if ((args[1] !== undefined && length === undefined) || address === undefined || port === undefined) {
    return end(state, answer, 552);
  }
  if (context.sendIsBusy()) return end(state, answer, 568);
  answer.collect({
    prompt: context.prompt(prompt(state)),
    length,
    echo: state.echoesData.current === 1 || context.echo(),
    timeoutMs: isEc200u ? Number(settings.get('qisend/timeout')) * 1000 : undefined,
    done(bytes) {
      if (bytes === undefined && length !== undefined) return end(state, answer, 569);
      if (bytes === undefined) {
        state.lastError = 571;
        return answer.ok();
      }
      transmit(state, answer, socket, bytes, { address, port });
    },
  });
}

/** `AT+QISENDEX`. */
export function handleSendHex(state: QuectelState, { args }: AtCommand, answer: AtAnswer) {
  const socket = socketOf(state, args[0]);
  const bytes = hexBytes(args[1]);
  if (socket === undefined || socket.closed) return end(state, answer, 567);
  if (socket.peer === undefined) return end(state, answer, 572);
  if (bytes === undefined || bytes.length > MAX_HEX_SEND) return end(state, answer, 552);
  if (state.context.sendIsBusy()) return end(state, answer, 568);
  transmit(state, answer, socket, bytes, socket.peer);
}

function transmit(state: QuectelState, answer: AtAnswer, socket: ModemSocket, bytes: Buffer, peer: Endpoint) {
  const { context, settings } = state;
  const sent = !context.sendFails() && bytes.length <= MAX_SEND && context.transmit(bytes, socket.port, peer);
  state.lastError = sent ? 0 : 558;
  if (settings.get('sendinfo') === '1') {
    answer.line(`+QISEND: ${socket.id},${sent ? 0 : 1},${MAX_SEND}`);
    return answer.ok();
  }
  answer.result(framed(sent ? 'SEND OK' : 'SEND FAIL'), sent);
}

function prompt({ isEc200u, settings }: QuectelState): string {
  if (!isEc200u) return '\r\n> ';
  return settings.get('formatcfg') === '1' ? '\r\n>\r\n' : '\r\n>';
}
