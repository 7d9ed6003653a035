import * as z from 'zod';
import { hexBytes, integer } from '../at/command-line.js';
import type { Answer, Handler } from '../at/interpreter.js';
import { latin1 } from '../at/unit.js';
import type { Dialect, Kit } from './dialect.js';
import { createSockets, enqueue, type Socket, takeFirst, waitingBytes } from './sockets.js';
import { accepted, answers, remembered, setting, withSim } from './standard-commands.js';

const MAX_BINARY = 1024;
const MAX_HEX = 512;
const LAST_ID = 6;
const UDP = '17';
const ACTIVATES_MS = 50;
const CLOSES_MS = 20;
/** After a read, until what is left is told of. */
const REPEATS_MS = 5;
/** The manual asks for 50 ms between the prompt and the data; less by what timers may be early. */
const PROMPT_DEAF_MS = 45;

export const ubloxQuirks = z.strictObject({
  model: z
    .enum(['SARA-R5', 'SARA-R4', 'SARA-U201'])
    .default('SARA-R5')
    .describe(
      'The R4 has its context by itself, says +UUSORD, answers an empty read with "", and refuses a send into which a datagram comes, and others until that is read; the U201 says +UUSORD.',
    ),
  trailer: z
    .enum(['blank-line', 'plain'])
    .default('blank-line')
    .describe('Whether there is a blank line between the data of AT+USORF and OK.'),
  commaSpace: z.enum(['yes', 'no']).default('no').describe('Whether a space follows the commas of +USORF.'),
  long: z
    .enum(['split', 'cut'])
    .default('split')
    .describe('What becomes of a datagram above the limit of a read: the next read gives the rest, or it is lost.'),
});

/** `AT+USOER` and `AT+USOCTL=n,1`: as errno. */
const ERRNO = { none: 0, badSocket: 9, again: 11, invalid: 22, inUse: 98, tooLong: 90, unreachable: 101 } as const;

/** SARA-R4, SARA-R5, SARA-U201, LARA (docs/vendor-facts.md, "u-blox: models and limits" and what follows). */
export function createUblox(kit: Kit, quirks: z.infer<typeof ubloxQuirks>): Dialect {
  const { cellular } = kit;
  const { world } = cellular;
  const isR4 = quirks.model === 'SARA-R4';
  const dataUrc = quirks.model === 'SARA-R5' ? '+UUSORF' : '+UUSORD';
  const sockets = createSockets();
  const hex = { current: 0 };
  let activated = false;
  let lastError = 0;
  /** The socket whose prompt waits for its bytes, and whether a datagram has come to it that was not read since. */
  let sending: Socket | undefined;
  let isRefusing = false;

  // The R4 activates its context as it attaches.
  const isActive = () => (isR4 ? cellular.attached() : activated);
  const comma = quirks.commaSpace === 'yes' ? ', ' : ',';
  const most = () => (hex.current === 1 ? MAX_HEX : MAX_BINARY);
  const fail = (answer: Answer, errno: number) => {
    lastError = errno;
    answer.cme(3);
  };
  const done = (answer: Answer) => {
    lastError = ERRNO.none;
    answer.ok();
  };
  const socketOf = (argument: string | undefined) => {
    const id = integer(argument, 0, LAST_ID);
    return id === undefined ? undefined : sockets.get(id);
  };
  const tell = (socket: Socket) => {
    const bytes = waitingBytes(socket);
    if (bytes > 0) kit.urc(`${dataUrc}: ${socket.id},${bytes}`);
  };

  const create: Handler = ({ args }, answer) => {
    const port = integer(args[1] ?? '0', 0, 65_535);
    const id = Array.from({ length: LAST_ID + 1 }, (_, number) => number).find((number) => !sockets.get(number));
    if (args[0] !== UDP || port === undefined) return fail(answer, ERRNO.invalid);
    if (!isActive() || id === undefined) return fail(answer, ERRNO.unreachable);
    if (sockets.open(id, port) === undefined) return fail(answer, ERRNO.inUse);
    answer.line(`+USOCR: ${id}`);
    done(answer);
  };

  const sendTo: Handler = ({ args }, answer) => {
    const [id, address, portText, lengthText, inline] = args;
    const socket = socketOf(id);
    const port = integer(portText, 1, 65_535);
    const length = integer(lengthText, 1, MAX_BINARY);
    if (socket === undefined) return fail(answer, ERRNO.badSocket);
    if (address === undefined || port === undefined) return fail(answer, ERRNO.invalid);
    if (length === undefined || length > most()) return fail(answer, ERRNO.tooLong);
    if (kit.sendIsBusy()) return fail(answer, ERRNO.again);
    const peer = { address, port };
    if (inline !== undefined || hex.current === 1) {
      const bytes = hex.current === 1 ? hexBytes(inline) : latin1(inline ?? '');
      return bytes?.length === length ? finishSend(answer, socket, bytes, peer) : fail(answer, ERRNO.invalid);
    }
    sending = socket;
    answer.collect({
      prompt: kit.prompt('\r\n@'),
      length,
      echo: kit.echo(),
      deafMs: PROMPT_DEAF_MS,
      done(bytes) {
        sending = undefined;
        isRefusing &&= socket.queue.length > 0;
        if (bytes === undefined || isRefusing) return fail(answer, ERRNO.again);
        finishSend(answer, socket, bytes, peer);
      },
    });
  };

  function finishSend(answer: Answer, socket: Socket, bytes: Buffer, peer: { address: string; port: number }) {
    if (kit.sendFails()) return fail(answer, ERRNO.again);
    if (!isActive() || !kit.transmit(bytes, socket.port, peer)) return fail(answer, ERRNO.unreachable);
    answer.line(`+USOST: ${socket.id},${bytes.length}`);
    done(answer);
  }

  const readFrom: Handler = ({ name, args }, answer) => {
    const socket = socketOf(args[0]);
    const wanted = integer(args[1], 0, most());
    if (socket === undefined) return fail(answer, ERRNO.badSocket);
    if (wanted === undefined) return fail(answer, ERRNO.invalid);
    if (wanted === 0) {
      answer.line(`${name}: ${socket.id},${waitingBytes(socket)}`);
      return done(answer);
    }
    const isLong = (socket.queue[0]?.bytes.length ?? 0) > wanted;
    const datagram = takeFirst(socket, wanted);
    if (datagram === undefined) {
      if (!isR4) return fail(answer, ERRNO.again);
      answer.line(`${name}: ${socket.id},""`);
      return done(answer);
    }
    const { bytes, source } = datagram;
    if (quirks.long === 'cut' && isLong) socket.queue.shift();
    const from = name === '+USORF' ? `${comma}"${source.address}"${comma}${source.port}` : '';
    const payload = hex.current === 1 ? latin1(bytes.toString('hex').toUpperCase()) : bytes;
    const header = `\r\n${name}: ${socket.id}${from}${comma}${bytes.length}${comma}"`;
    answer.data(header, payload, '"\r\n');
    lastError = ERRNO.none;
    answer.result(latin1(quirks.trailer === 'plain' ? 'OK\r\n' : '\r\nOK\r\n'), true);
    kit.clock.after(REPEATS_MS, () => {
      if (sockets.get(socket.id) === socket) tell(socket);
    });
  };

  const close: Handler = ({ args }, answer) => {
    const socket = socketOf(args[0]);
    if (socket === undefined) return fail(answer, ERRNO.badSocket);
    if (isR4 && args[1] === '1') {
      done(answer);
      kit.clock.after(CLOSES_MS, () => {
        sockets.close(socket.id);
        kit.late(`+UUSOCL: ${socket.id}`);
      });
      return;
    }
    answer.later(CLOSES_MS, () => {
      sockets.close(socket.id);
      done(answer);
    });
  };

  /** Not on the R4. */
  const activation: Handler = ({ kind, args }, answer) => {
    if (isR4) return answer.cme(4);
    if (kind !== 'set' || args[0] !== '0') return answer.cme(50);
    if (args[1] === '4') {
      activated = false;
      sockets.closeAll();
      return answer.ok();
    }
    if (args[1] !== '3' || activated || !cellular.reachesApn(world.contexts.get(1)?.apn ?? '')) return answer.cme(148);
    answer.ok();
    kit.clock.after(ACTIVATES_MS, () => {
      activated = cellular.attached();
      kit.late(activated ? `+UUPSDA: 0,"${world.address}"` : '+UUPSDA: 1');
    });
  };

  const configuration = setting('+UDCONF', 0, 1, hex);

  return {
    model: { manufacturer: 'u-blox', name: NAMES[quirks.model], revision: '02.06,A00.01' },
    unknown: 'cme',
    idleUrc: '+UMWI: 0,1',
    restartLevels: [15, 16],
    boot: [{ at: 100, bytes: latin1('\0\0') }],
    commands: {
      ...Object.fromEntries(['+UPSV', '+UMNOPROF', '+UGPIOC'].map((name) => [name, accepted()])),
      '+URAT': remembered(kit, '+URAT', '7,8'),
      '+CCID': withSim(
        kit,
        answers(() => `+CCID: ${world.iccid}`),
      ),
      '+UDCONF'(command, answer) {
        if (command.args[0] !== '1') return answer.cme(50);
        if (command.args.length > 1) return configuration({ ...command, args: command.args.slice(1) }, answer);
        answer.line(`+UDCONF: 1,${hex.current}`);
        answer.ok();
      },
      '+UPSD': (_, answer) => (isR4 ? answer.cme(4) : answer.ok()),
      '+UPSDA': withSim(kit, activation),
      '+UPSND'({ args }, answer) {
        if (isR4) return answer.cme(4);
        const value = args[1] === '8' ? Number(activated) : `"${activated ? world.address : '0.0.0.0'}"`;
        answer.line(`+UPSND: 0,${args[1] ?? 0},${value}`);
        answer.ok();
      },
      '+USOCR': withSim(kit, create),
      '+USOST': sendTo,
      '+USORF': readFrom,
      '+USORD': readFrom,
      '+USOCL': close,
      '+USOER': answers(() => `+USOER: ${lastError}`),
      '+USOCTL'({ args }, answer) {
        const socket = socketOf(args[0]);
        const what = integer(args[1], 0, 1);
        if (socket === undefined) return fail(answer, ERRNO.badSocket);
        if (what === undefined) return answer.cme(50);
        answer.line(`+USOCTL: ${socket.id},${what},${what === 0 ? UDP : lastError}`);
        answer.ok();
      },
    },
    receive(port, datagram) {
      const socket = isActive() ? sockets.taker(port, datagram.source) : undefined;
      if (socket === undefined) return false;
      if (isR4 && sending === socket) isRefusing = true;
      const wasEmpty = socket.queue.length === 0;
      if (!enqueue(socket, datagram)) kit.note(`socket ${socket.id} is full: a datagram is lost`);
      else if (wasEmpty) tell(socket);
      return true;
    },
    contextLost() {
      if (!isR4 && !activated) return;
      activated = false;
      sockets.closeAll();
      kit.urc('+UUPSDD: 0');
    },
    closeSocket(id) {
      const socket = id === undefined ? sockets.all()[0] : sockets.get(id);
      if (socket === undefined) return false;
      sockets.close(socket.id);
      kit.urc(`+UUSOCL: ${socket.id}`);
      return true;
    },
    sockets: sockets.views,
  };
}

const NAMES = { 'SARA-R5': 'SARA-R510S-01B', 'SARA-R4': 'SARA-R410M-02B', 'SARA-U201': 'SARA-U201' } as const;
