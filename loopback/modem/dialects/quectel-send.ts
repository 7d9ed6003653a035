import type { Endpoint } from '../../network/network.js';
import { hexBytes, integer } from '../at/command-line.js';
import type { Answer, Handler } from '../at/interpreter.js';
import { framed } from '../at/unit.js';
import type { Kit } from './dialect.js';
import { promptFor } from './quectel-config.js';
import type { QuectelErrorCode } from './quectel-errors.js';
import type { Socket } from './sockets.js';

const MAX_SEND = 1460;
const MAX_HEX_SEND = 512;

/** What sending needs of the modem. */
export interface Sending {
  readonly kit: Kit;
  readonly isEc200u: boolean;
  /** As `AT+QICFG` has set it. */
  readonly config: ReadonlyMap<string, string>;
  socketOf(argument: string | undefined): Socket | undefined;
  /** Ends a command, and keeps the code for `AT+QIGETERROR`: OK for 0, else ERROR. */
  end(answer: Answer, code: QuectelErrorCode): void;
  /** Keeps the code alone. */
  note(code: QuectelErrorCode): void;
  isService(socket: Socket): boolean;
  echoesData(): boolean;
}

/** `AT+QISEND` and `AT+QISENDEX`. */
export function sendCommands(modem: Sending): Record<string, Handler> {
  const { kit, isEc200u, config, socketOf, end } = modem;

  const send: Handler = ({ args }, answer) => {
    const socket = socketOf(args[0]);
    if (socket === undefined || socket.closed) return end(answer, 567);
    if (args[1] === '0' && args.length === 2) {
      answer.line('+QISEND: 0,0,0');
      return end(answer, 0);
    }
    const service = modem.isService(socket);
    const length = args[1] === undefined ? undefined : integer(args[1], 1, MAX_SEND);
    const port = service ? integer(args[3], 1, 65_535) : socket.peer?.port;
    const address = service ? args[2] : socket.peer?.address;
    if ((args[1] !== undefined && length === undefined) || address === undefined || port === undefined) {
      return end(answer, 552);
    }
    if (kit.sendIsBusy()) return end(answer, 568);
    answer.collect({
      prompt: kit.prompt(promptFor(isEc200u, config.get('formatcfg'))),
      length,
      echo: modem.echoesData(),
      timeoutMs: isEc200u ? Number(config.get('qisend/timeout')) * 1000 : undefined,
      done(bytes) {
        if (bytes === undefined && length !== undefined) return end(answer, 569);
        if (bytes === undefined) {
          modem.note(571);
          return answer.ok();
        }
        finish(answer, socket, bytes, { address, port });
      },
    });
  };

  function finish(answer: Answer, socket: Socket, bytes: Buffer, peer: Endpoint) {
    const left = !kit.sendFails() && bytes.length <= MAX_SEND && kit.transmit(bytes, socket.port, peer);
    modem.note(left ? 0 : 558);
    if (config.get('sendinfo') === '1') {
      answer.line(`+QISEND: ${socket.id},${left ? 0 : 1},${MAX_SEND}`);
      return answer.ok();
    }
    answer.result(framed(left ? 'SEND OK' : 'SEND FAIL'), left);
  }

  const sendHex: Handler = ({ args }, answer) => {
    const socket = socketOf(args[0]);
    const bytes = hexBytes(args[1]);
    if (socket === undefined || socket.closed) return end(answer, 567);
    if (socket.peer === undefined) return end(answer, 572);
    if (bytes === undefined || bytes.length > MAX_HEX_SEND) return end(answer, 552);
    if (kit.sendIsBusy()) return end(answer, 568);
    finish(answer, socket, bytes, socket.peer);
  };

  return { '+QISEND': send, '+QISENDEX': sendHex };
}
