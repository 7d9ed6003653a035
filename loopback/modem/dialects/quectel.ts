import * as z from 'zod';
import { integer } from '../at/command-line.js';
import type { Answer, Handler } from '../at/interpreter.js';
import { bootLines, latin1 } from '../at/unit.js';
import { simLine } from '../cellular.js';
import type { Dialect, Kit } from './dialect.js';
import { DEFAULT_CONFIG, EC200U_CONFIG, URC_PORTS } from './quectel-config.js';
import { type QuectelErrorCode, quectelError } from './quectel-errors.js';
import { sendCommands } from './quectel-send.js';
import { createSockets, enqueue, type Socket, takeFirst, takeStream, waitingBytes } from './sockets.js';
import { accepted, answers, setting, withSim } from './standard-commands.js';

const MAX_READ = 1500;
const LAST_ID = 11;
/** A shorter number is filled up as it is on the SIM. */
const ICCID_DIGITS = 20;
const ACTIVATES_MS = 50;
const OPENS_MS = 30;
const CLOSES_MS = 20;
/** The interface that this tty is. */
const OWN_PORT = 'usbat';

export const quectelQuirks = z.strictObject({
  model: z
    .enum(['BG96', 'BG95-M3', 'EC25', 'EG25', 'EC200U'])
    .default('BG96')
    .describe('What it calls itself. The EC200U has a prompt without a space, a 5 s input time-out, and sendinfo.'),
  trailer: z
    .enum(['blank-line', 'plain'])
    .default('blank-line')
    .describe('Whether there is a blank line between the data of AT+QIRD and OK.'),
  urcSpace: z.enum(['yes', 'no']).default('yes').describe('Whether a space follows the colon of +QIURC.'),
});

type Mode = 'buffer' | 'push';
interface Extra {
  readonly service: boolean;
  readonly mode: Mode;
  read: number;
}

/** BG95, BG96, EC2x, EG2x (docs/vendor-facts.md, "Quectel: models and limits" and what follows). */
export function createQuectel(kit: Kit, quirks: z.infer<typeof quectelQuirks>): Dialect {
  const { cellular } = kit;
  const { world } = cellular;
  const isEc200u = quirks.model === 'EC200U';
  const sockets = createSockets();
  const extras = new Map<number, Extra>();
  const config = new Map(DEFAULT_CONFIG);
  const echoesData = { current: 1 };
  let apn: string | undefined;
  let active = false;
  let urcPort = OWN_PORT;
  let lastError: QuectelErrorCode = 0;

  const reportsHere = () => urcPort === OWN_PORT || urcPort === 'all';
  const urcName = quirks.urcSpace === 'yes' ? '+QIURC: ' : '+QIURC:';
  const urc = (text: string) => {
    if (reportsHere()) kit.urc(`${urcName}${text}`);
    else kit.note(`+QIURC: ${text} went to the port ${urcPort}`);
  };
  const fail = (answer: Answer, code: QuectelErrorCode) => {
    lastError = code;
    answer.error();
  };
  const done = (answer: Answer) => {
    lastError = 0;
    answer.ok();
  };
  const socketOf = (argument: string | undefined) => {
    const id = integer(argument, 0, LAST_ID);
    return id === undefined ? undefined : sockets.get(id);
  };
  const discard = (id: number) => {
    sockets.close(id);
    extras.delete(id);
  };

  function activate(answer: Answer) {
    if (active) return fail(answer, 561);
    answer.later(ACTIVATES_MS, () => {
      active = cellular.reachesApn(apn ?? world.contexts.get(1)?.apn ?? '');
      if (active) done(answer);
      else fail(answer, 561);
    });
  }

  const open: Handler = ({ args }, answer) => {
    const [context, idText, type = '', address = '', remote, local, mode = '0'] = args;
    const id = integer(idText, 0, LAST_ID);
    const remotePort = integer(remote, 0, 65_535);
    const localPort = integer(local ?? '0', 0, 65_535);
    const service = type === 'UDP SERVICE';
    if (integer(context, 1, 16) === undefined || id === undefined || remotePort === undefined) return fail(answer, 552);
    if (localPort === undefined || (service && localPort === 0)) return fail(answer, 552);
    // Transparent access is for TCP and for a UDP client.
    if (mode !== '0' && mode !== '1') return fail(answer, mode === '2' && !service ? 555 : 552);
    if (!service && type !== 'UDP') return fail(answer, type.startsWith('TCP') ? 555 : 552);
    done(answer);
    kit.clock.after(OPENS_MS, () => {
      const error = openSocket(id, localPort, service ? undefined : { address, port: remotePort });
      if (error === 0) extras.set(id, { service, mode: mode === '1' ? 'push' : 'buffer', read: 0 });
      lastError = error;
      kit.late(`+QIOPEN: ${id},${error}`);
    });
  };

  function openSocket(id: number, port: number, peer: Socket['peer']): QuectelErrorCode {
    if (sockets.get(id) !== undefined) return 563;
    if (!active) return 561;
    return sockets.open(id, port, peer) === undefined ? 556 : 0;
  }

  const read: Handler = ({ args }, answer) => {
    const socket = socketOf(args[0]);
    const extra = socket && extras.get(socket.id);
    if (socket === undefined || extra === undefined || extra.mode === 'push') return fail(answer, 552);
    if (args[1] === '0') {
      const unread = waitingBytes(socket);
      answer.line(`+QIRD: ${extra.read + unread},${extra.read},${unread}`);
      return done(answer);
    }
    const most = args[1] === undefined ? MAX_READ : integer(args[1], 1, MAX_READ);
    if (most === undefined) return fail(answer, 552);
    const datagram = config.get('udp/readmode') === '1' ? takeMerged(socket, most) : takeFirst(socket, most);
    if (datagram === undefined) {
      socket.armed = true;
      answer.line('+QIRD: 0');
      return done(answer);
    }
    const { bytes, source } = datagram;
    extra.read += bytes.length;
    const from = extra.service ? `,"${source.address}",${source.port}` : '';
    answer.data(`\r\n+QIRD: ${bytes.length}${from}${payloadSeparator()}`, payloadForm(bytes), trailer());
    done(answer);
  };

  function takeMerged(socket: Socket, most: number) {
    const [first] = socket.queue;
    return first && { source: first.source, bytes: takeStream(socket, most) };
  }

  const payloadSeparator = () => (config.get('viewmode') === '1' ? ',' : '\r\n');
  const payloadForm = (bytes: Buffer) =>
    config.get('dataformat')?.endsWith('1') ? latin1(bytes.toString('hex').toUpperCase()) : bytes;
  const trailer = () => (quirks.trailer === 'blank-line' ? '\r\n' : '');

  const close: Handler = ({ args }, answer) => {
    const id = integer(args[0], 0, LAST_ID);
    if (id === undefined) return fail(answer, 552);
    const closed = () => {
      const wasOpen = sockets.get(id) !== undefined;
      discard(id);
      done(answer);
      if (wasOpen && config.get('close/mode') === '1') urc(`"closed",${id}`);
    };
    answer.later(CLOSES_MS, closed, 'deaf');
  };

  const state: Handler = ({ kind, args }, answer) => {
    const one = kind === 'set' && args[0] === '1' ? integer(args[1], 0, LAST_ID) : undefined;
    for (const { id, port, peer, closed } of sockets.all()) {
      if (one !== undefined && id !== one) continue;
      const extra = extras.get(id);
      const [type, ip, remote] = peer ? ['UDP', peer.address, peer.port] : ['UDP SERVICE', world.address, 0];
      const mode = extra?.mode === 'push' ? 1 : 0;
      answer.line(`+QISTATE: ${id},"${type}","${ip}",${remote},${port},${closed ? 4 : 2},1,0,${mode},"${OWN_PORT}"`);
    }
    done(answer);
  };

  const configure: Handler = ({ args }, answer) => {
    const [key = '', ...values] = args;
    if (!config.has(key) || (EC200U_CONFIG.has(key) && !isEc200u)) return fail(answer, 552);
    // Sending hexadecimal digits behind a prompt is not known well enough.
    if (key === 'dataformat' && values[0] === '1') return fail(answer, 555);
    if (values.length === 0) answer.line(`+QICFG: "${key}",${config.get(key)}`);
    else config.set(key, values.join(','));
    done(answer);
  };

  return {
    model: { manufacturer: 'Quectel', name: quirks.model, revision: `${quirks.model}MAR02A07M1G` },
    unknown: 'plain',
    farewell: 'POWERED DOWN',
    idleUrc: '+QIND: "csq",20,99',
    boot: bootLines(['RDY', '+CFUN: 1', simLine(world), '+QUSIM: 1', '+QIND: SMS DONE']),
    commands: {
      ...Object.fromEntries(['+QSCLK', '+QCFG', '+QPOWD', '+QNWINFO'].map((name) => [name, accepted()])),
      '+QCCID': withSim(
        kit,
        answers(() => `+QCCID: ${world.iccid.padEnd(ICCID_DIGITS, 'F')}`),
      ),
      '+QISDE': setting('+QISDE', 0, 1, echoesData),
      '+QIGETERROR': answers(() => `+QIGETERROR: ${quectelError(lastError)}`),
      '+QICFG': configure,
      '+QURCCFG'({ args }, answer) {
        if (args[0] !== 'urcport') return answer.error();
        if (args[1] === undefined) answer.line(`+QURCCFG: "urcport","${urcPort}"`);
        else if (!URC_PORTS.includes(args[1])) return answer.error();
        else urcPort = args[1];
        answer.ok();
      },
      '+QICSGP'({ args }, answer) {
        if (integer(args[0], 1, 16) === undefined) return fail(answer, 552);
        if (args.length === 1) answer.line(`+QICSGP: 1,"${apn ?? ''}","","",0`);
        else if (args[1] !== '1') return fail(answer, 552);
        else apn = args[2] ?? '';
        done(answer);
      },
      '+QIACT': withSim(kit, ({ kind, args }, answer) => {
        if (kind === 'set') return args[0] === '1' ? activate(answer) : fail(answer, 552);
        if (active) answer.line(`+QIACT: 1,1,1,"${world.address}"`);
        done(answer);
      }),
      '+QIDEACT'(_, answer) {
        answer.later(ACTIVATES_MS, () => {
          active = false;
          for (const { id } of sockets.closeAll()) extras.delete(id);
          done(answer);
        });
      },
      '+QIOPEN': withSim(kit, open),
      ...sendCommands({
        kit,
        isEc200u,
        config,
        socketOf,
        end(answer, code) {
          if (code === 0) done(answer);
          else fail(answer, code);
        },
        note: (code) => {
          lastError = code;
        },
        isService: ({ id }) => extras.get(id)?.service === true,
        echoesData: () => echoesData.current === 1 || kit.echo(),
      }),
      '+QIRD': read,
      '+QICLOSE': close,
      '+QISTATE': state,
    },
    receive(port, datagram) {
      const socket = active ? sockets.taker(port, datagram.source) : undefined;
      if (socket === undefined) return false;
      const { bytes, source } = datagram;
      if (extras.get(socket.id)?.mode === 'push') {
        if (!reportsHere()) return true;
        const from = extras.get(socket.id)?.service ? `,"${source.address}",${source.port}` : '';
        const header = `\r\n${urcName}"recv",${socket.id},${bytes.length}${from}${payloadSeparator()}`;
        kit.emit({ kind: 'urc', bytes: Buffer.concat([latin1(header), payloadForm(bytes), latin1('\r\n')]) });
      } else if (!enqueue(socket, datagram)) kit.note(`socket ${socket.id} is full: a datagram is lost`);
      else if (socket.armed) {
        socket.armed = false;
        urc(`"recv",${socket.id}${config.get('recvind') === '1' ? `,${bytes.length}` : ''}`);
      }
      return true;
    },
    contextLost() {
      if (!active) return;
      active = false;
      lastError = 570;
      for (const { id } of sockets.closeAll()) extras.delete(id);
      urc('"pdpdeact",1');
    },
    closeSocket(id) {
      const socket = id === undefined ? sockets.all()[0] : sockets.get(id);
      if (socket === undefined) return false;
      socket.closed = true;
      urc(`"closed",${socket.id}`);
      return true;
    },
    sockets: sockets.views,
  };
}
