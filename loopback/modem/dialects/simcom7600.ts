import * as z from 'zod';
import { integer } from '../at/command-line.js';
import type { Answer, Handler } from '../at/interpreter.js';
import { bootLines, latin1 } from '../at/unit.js';
import { simLine } from '../cellular.js';
import type { Dialect, Kit } from './dialect.js';
import { createSockets, enqueue, type Socket, takeStream, waitingBytes } from './sockets.js';
import { accepted, answers, setting, withSim } from './standard-commands.js';

const MAX_SEND = 1500;
const MAX_READ = 1500;
const MAX_HEX_READ = 750;
const LINKS = 10;
const OPENS_MS = 50;
const CLOSES_MS = 20;
/** After NETOPEN, where a socket comes too soon. */
const SETTLES_MS = 1000;

export const simcom7600Quirks = z.strictObject({
  model: z
    .enum(['SIM7600', 'A7670'])
    .default('SIM7600')
    .describe(
      'The A7670 has a space behind the prompt, no AT+CSOCKSETPN, +CGPADDR without quotes, and *ATREADY: 1 at the start.',
    ),
  order: z
    .enum(['line-first', 'ok-first'])
    .default('line-first')
    .describe('Whether +CIPOPEN and +CIPCLOSE come before OK or after it.'),
  netState: z.enum(['one', 'two']).default('one').describe('Whether AT+NETOPEN? answers 1 or 1,0.'),
  settles: z
    .enum(['no', 'yes'])
    .default('no')
    .describe('Whether AT+CIPOPEN in the first second after +NETOPEN gives 2, network not opened.'),
  netClose: z
    .enum(['closes-sockets', 'refuses'])
    .default('closes-sockets')
    .describe('What AT+NETCLOSE does while sockets are open.'),
  headers: z
    .enum(['any-time', 'closed-network'])
    .default('any-time')
    .describe('Whether AT+CIPSRIP and AT+CIPHEAD take effect, or are just answered OK, while the network is open.'),
});

type Net = 'closed' | 'opening' | 'open' | 'broken';

/** SIM7500, SIM7600, A76xx (docs/vendor-facts.md, "SIM7600: models and limits" and what follows). */
export function createSimcom7600(kit: Kit, quirks: z.infer<typeof simcom7600Quirks>): Dialect {
  const { cellular } = kit;
  const { world } = cellular;
  const isA7670 = quirks.model === 'A7670';
  const sockets = createSockets();
  const showsSource = { current: 0 };
  const showsHeader = { current: 0 };
  const manual = { current: 0 };
  const cipMode = { current: 0 };
  let headerType = 0;
  let net: Net = 'closed';
  let openedAt = 0;

  const ipError = (answer: Answer, text: string) => {
    answer.line(`+IP ERROR: ${text}`);
    answer.error();
  };
  const refuseWith = (answer: Answer, line: string) => {
    answer.line(line);
    answer.error();
  };
  /** The line and OK, in the firmware's order. */
  const inOrder = (answer: Answer, line: string) => {
    if (quirks.order === 'line-first') answer.line(line);
    answer.ok();
    if (quirks.order === 'ok-first') kit.late(line);
  };

  const openNet: Handler = ({ kind }, answer) => {
    if (kind === 'read') {
      const state = net === 'open' || net === 'broken' ? 1 : 0;
      answer.line(`+NETOPEN: ${state}${quirks.netState === 'two' ? ',0' : ''}`);
      return answer.ok();
    }
    if (net !== 'closed') return ipError(answer, 'Network is already opened');
    net = 'opening';
    answer.ok();
    kit.clock.after(OPENS_MS, () => {
      const reached = cellular.reachesApn(world.contexts.get(1)?.apn ?? '');
      net = reached ? 'open' : 'closed';
      openedAt = kit.clock.now();
      kit.late(`+NETOPEN: ${reached ? 0 : 1}`);
    });
  };

  const closeNet: Handler = (_, answer) => {
    if (net === 'closed') return ipError(answer, 'Network is already closed');
    if (quirks.netClose === 'refuses' && sockets.all().length > 0) {
      return ipError(answer, 'Net close failed for socket opened');
    }
    answer.ok();
    kit.clock.after(CLOSES_MS, () => {
      net = 'closed';
      for (const { id } of sockets.closeAll()) kit.late(`+CIPCLOSE: ${id},0`);
      kit.late('+NETCLOSE: 0');
    });
  };

  const open: Handler = ({ kind, args }, answer) => {
    if (kind === 'read') {
      for (let id = 0; id < LINKS; id += 1) answer.line(linkLine(id));
      return answer.ok();
    }
    const [idText, type, address, remote, local] = args;
    const id = integer(idText, 0, LINKS - 1);
    if (id === undefined) return ipError(answer, 'Invalid parameter');
    if (sockets.get(id) !== undefined) return ipError(answer, 'Connection is already created');
    const localPort = integer(local, 1, 65_535);
    // A peer does not make up for the local port.
    if (type !== 'UDP' || localPort === undefined) return refuseWith(answer, `+CIPOPEN: ${id},3`);
    const settling = quirks.settles === 'yes' && kit.clock.now() - openedAt < SETTLES_MS;
    if (net === 'closed' || net === 'opening' || settling) return refuseWith(answer, `+CIPOPEN: ${id},2`);
    if (net === 'broken') return refuseWith(answer, `+CIPOPEN: ${id},1`);
    const remotePort = integer(remote, 1, 65_535);
    const peer = address === undefined || remotePort === undefined ? undefined : { address, port: remotePort };
    if (sockets.open(id, localPort, peer) === undefined) return refuseWith(answer, `+CIPOPEN: ${id},6`);
    inOrder(answer, `+CIPOPEN: ${id},0`);
  };

  const linkLine = (id: number) => {
    const socket = sockets.get(id);
    if (socket === undefined) return `+CIPOPEN: ${id}`;
    return `+CIPOPEN: ${id},"UDP","${socket.peer?.address ?? '0.0.0.0'}",${socket.peer?.port ?? 0},${socket.port}`;
  };

  const send: Handler = ({ args }, answer) => {
    const [idText, lengthText, address, remote] = args;
    const id = integer(idText, 0, LINKS - 1);
    const length = integer(lengthText, 1, MAX_SEND);
    const port = integer(remote, 1, 65_535);
    const cipError = (code: number) => refuseWith(answer, `+CIPERROR: ${code}`);
    if (id === undefined || length === undefined || address === undefined || port === undefined) return cipError(3);
    if (net === 'closed' || net === 'opening') return cipError(2);
    const socket = sockets.get(id);
    if (socket === undefined || socket.closed) return cipError(4);
    if (kit.sendIsBusy()) return cipError(8);
    answer.collect({
      prompt: kit.prompt(isA7670 ? '\r\n> ' : '\r\n>'),
      length,
      echo: kit.echo(),
      done(bytes) {
        if (bytes === undefined) return answer.error();
        if (kit.sendFails()) return cipError(1);
        const left = net === 'open' && kit.transmit(bytes, socket.port, { address, port });
        answer.ok();
        kit.late(`+CIPSEND: ${id},${length},${left ? length : -1}`);
      },
    });
  };

  const close: Handler = ({ kind, args }, answer) => {
    if (kind === 'read') {
      const links = Array.from({ length: LINKS }, (_, id) => (sockets.get(id) === undefined ? 0 : 1));
      answer.line(`+CIPCLOSE: ${links.join(',')}`);
      return answer.ok();
    }
    const id = integer(args[0], 0, LINKS - 1);
    if (id === undefined) return ipError(answer, 'Invalid parameter');
    if (sockets.get(id) === undefined) return refuseWith(answer, `+CIPCLOSE: ${id},4`);
    answer.later(CLOSES_MS, () => {
      sockets.close(id);
      inOrder(answer, `+CIPCLOSE: ${id},0`);
    });
  };

  /** Reading by hand: a stream of bytes that does not tell where they are from. */
  const receiveByHand: Handler = (command, answer) => {
    const { kind, args } = command;
    const [mode, idText, lengthText] = args;
    if (kind !== 'set' || mode === '0' || mode === '1') return setting('+CIPRXGET', 0, 1, manual)(command, answer);
    const id = integer(idText, 0, LINKS - 1);
    const most = integer(lengthText ?? String(MAX_HEX_READ), 1, mode === '3' ? MAX_HEX_READ : MAX_READ);
    if (id === undefined || most === undefined || !['2', '3', '4'].includes(mode ?? '')) {
      return ipError(answer, 'Invalid parameter');
    }
    if (manual.current === 0) return ipError(answer, 'Operation not supported');
    const socket = sockets.get(id);
    if (socket === undefined) return ipError(answer, 'Connection is not created');
    if (mode === '4') {
      answer.line(`+CIPRXGET: 4,${id},${waitingBytes(socket)}`);
      return answer.ok();
    }
    const bytes = takeStream(socket, most);
    if (socket.queue.length === 0) socket.armed = true;
    if (bytes.length === 0) return ipError(answer, 'No data');
    const payload = mode === '3' ? latin1(bytes.toString('hex').toUpperCase()) : bytes;
    const header = `\r\n+CIPRXGET: ${mode},${id},${bytes.length},${waitingBytes(socket)}\r\n`;
    answer.data(header, payload, '\r\n');
    answer.ok();
  };

  function push(socket: Socket, bytes: Buffer, source: { address: string; port: number }): void {
    const from = showsSource.current === 1 ? `RECV FROM:${source.address}:${source.port}\r\n` : '';
    const usual = showsHeader.current === 1 ? `+IPD${bytes.length}\r\n` : '';
    const count = headerType === 1 ? `+RECEIVE,${socket.id},${bytes.length}:\r\n` : usual;
    kit.emit({ kind: 'urc', bytes: Buffer.concat([latin1(`\r\n${from}${count}`), bytes, latin1('\r\n')]) });
  }

  const headerSetting =
    (name: string, value: { current: number }): Handler =>
    (command, answer) => {
      const isDeaf = quirks.headers === 'closed-network' && net !== 'closed' && command.kind === 'set';
      if (isDeaf) answer.ok();
      else setting(name, 0, 1, value)(command, answer);
    };

  const plain = ['+CNMP', '+CSCLK', '+CSDVC', '+CTCPKA'];
  return {
    model: {
      manufacturer: isA7670 ? 'INCORPORATED' : 'SIMCOM INCORPORATED',
      name: isA7670 ? 'A7670E-LASE' : 'SIMCOM_SIM7600G-H',
      revision: isA7670 ? 'A7670M6_V1.11.1' : 'LE20B04SIM7600G22',
    },
    unknown: 'plain',
    tellsSim: true,
    bareAddress: isA7670,
    idleUrc: '+CGEV: ME PDN ACT 1',
    boot: bootLines([...(isA7670 ? ['*ATREADY: 1'] : []), 'RDY', simLine(world), 'SMS DONE', 'PB DONE']),
    commands: {
      ...Object.fromEntries([...plain, ...(isA7670 ? [] : ['+CSOCKSETPN'])].map((name) => [name, accepted()])),
      '+CICCID': withSim(
        kit,
        answers(() => `+ICCID: ${world.iccid}`),
      ),
      '+CIPMODE': (command, answer) =>
        // Transparent mode is for one TCP connection.
        command.args[0] === '1'
          ? ipError(answer, 'Operation not supported')
          : setting('+CIPMODE', 0, 0, cipMode)(command, answer),
      '+CIPSRIP': headerSetting('+CIPSRIP', showsSource),
      '+CIPHEAD': headerSetting('+CIPHEAD', showsHeader),
      '+CIPRXGET': receiveByHand,
      '+CIPCCFG'({ args }, answer) {
        const type = integer(args[4] ?? '0', 0, 1);
        if (type === undefined) return answer.error();
        headerType = type;
        answer.ok();
      },
      '+NETOPEN': withSim(kit, openNet),
      '+NETCLOSE': closeNet,
      '+IPADDR'(_, answer) {
        if (net !== 'open') return ipError(answer, 'Network not opened');
        answer.line(`+IPADDR: ${world.address}`);
        answer.ok();
      },
      '+CIPOPEN': open,
      '+CIPSEND': send,
      '+CIPCLOSE': close,
    },
    receive(port, datagram) {
      const socket = net === 'open' ? sockets.taker(port, datagram.source) : undefined;
      if (socket === undefined) return false;
      if (manual.current === 0) push(socket, datagram.bytes, datagram.source);
      else if (!enqueue(socket, datagram)) kit.note(`socket ${socket.id} is full: a datagram is lost`);
      else if (socket.armed) {
        socket.armed = false;
        kit.urc(`+CIPRXGET: 1,${socket.id}`);
      }
      return true;
    },
    contextLost() {
      if (net === 'opening') net = 'closed';
      if (net !== 'open') return;
      // It stays so until the host closes it: NETCLOSE, then NETOPEN.
      net = 'broken';
      kit.urc('+CIPEVENT: NETWORK CLOSED UNEXPECTEDLY');
    },
    closeSocket(id) {
      const socket = id === undefined ? sockets.all()[0] : sockets.get(id);
      if (socket === undefined) return false;
      sockets.close(socket.id);
      kit.urc(`+IPCLOSE: ${socket.id},1`);
      return true;
    },
    sockets: sockets.views,
  };
}
