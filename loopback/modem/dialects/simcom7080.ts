import * as z from 'zod';
import type { Endpoint } from '../../network/network.js';
import { integer } from '../at/command-line.js';
import type { Answer, Handler } from '../at/interpreter.js';
import { bootLines, latin1 } from '../at/unit.js';
import { simLine } from '../cellular.js';
import type { Dialect, Kit, Received } from './dialect.js';
import { createSockets, enqueue, type Socket, takeFirst, waitingBytes } from './sockets.js';
import { accepted, answers, remembered, setting, withSim } from './standard-commands.js';

const MAX_SEND = 1459;
const MAX_READ = 1459;
const LAST_CID = 12;
const CONTEXTS = 4;
const ACTIVATES_MS = 50;
const INPUT_MS = 5000;

export const simcom7080Quirks = z.strictObject({
  newPeer: z
    .enum(['cadataind', 'canew', 'canew-new-cid'])
    .default('canew')
    .describe(
      'What a listener says of the first datagram of a peer: +CADATAIND, or +CANEW with the data on the listener or on the new cid.',
    ),
  casrip: z.enum(['yes', 'no']).default('yes').describe('Whether AT+CASRIP is known; if not, no source is told.'),
  sent: z
    .enum(['ok', 'line-first', 'line-last'])
    .default('ok')
    .describe('Whether +CASEND: cid,0,length comes with the OK of a send, and before or after it.'),
  trailer: z
    .enum(['blank-line', 'plain'])
    .default('blank-line')
    .describe('Whether there is a blank line between the data of AT+CARECV and OK.'),
  appPdp: z
    .enum(['last', 'first'])
    .default('last')
    .describe('Whether +APP PDP comes after the OK of AT+CNACT or before.'),
  ccid: z.enum(['bare', 'named']).default('bare').describe('Whether AT+CCID answers with the number alone.'),
  autobaud: z.enum(['yes', 'no']).default('yes').describe('Whether the first two lines after power-on go unanswered.'),
});

interface Extra {
  readonly server: boolean;
  readonly push: boolean;
  /** Those that a listener has told of, by `address:port`. */
  readonly peers: Set<string>;
}

/** SIM7070, SIM7080, SIM7090 (docs/vendor-facts.md, "SIM7080: models and limits" and what follows). */
export function createSimcom7080(kit: Kit, quirks: z.infer<typeof simcom7080Quirks>): Dialect {
  const { cellular } = kit;
  const { world } = cellular;
  const sockets = createSockets();
  const extras = new Map<number, Extra>();
  const localPorts = new Map<number, number>();
  const remotes = new Map<number, Endpoint>();
  const showsSource = { current: 0 };
  let apn: string | undefined;
  let active = false;

  const closeAll = () => {
    sockets.closeAll();
    extras.clear();
    remotes.clear();
  };
  const appPdp = (answer: Answer, state: 'ACTIVE' | 'DEACTIVE') => {
    if (quirks.appPdp === 'first') answer.line(`+APP PDP: 0,${state}`);
    answer.ok();
    if (quirks.appPdp === 'last') kit.clock.after(ACTIVATES_MS, () => kit.late(`+APP PDP: 0,${state}`));
  };

  const activate: Handler = ({ kind, args }, answer) => {
    if (kind === 'read') {
      for (let index = 0; index < CONTEXTS; index += 1) {
        const on = active && index === 0;
        answer.line(`+CNACT: ${index},${Number(on)},"${on ? world.address : '0.0.0.0'}"`);
      }
      return answer.ok();
    }
    const wanted = integer(args[1], 0, 1);
    if (args[0] !== '0' || wanted === undefined) return answer.cme(50);
    if (wanted === 1 && !cellular.reachesApn(apn ?? world.contexts.get(1)?.apn ?? '')) return answer.cme(148);
    if (wanted === 0 && !active) return answer.cme(3);
    // Whatever it does, the sockets are gone.
    closeAll();
    active = wanted === 1;
    appPdp(answer, active ? 'ACTIVE' : 'DEACTIVE');
  };

  /** @returns the result code, 0 when there is a socket now */
  function openSocket(cid: number, port: number, server: boolean, push: boolean, peer?: Endpoint): number {
    if (!active) return 21;
    if (sockets.get(cid) !== undefined) return 1;
    if (sockets.open(cid, port, peer) === undefined) return 12;
    extras.set(cid, { server, push, peers: new Set() });
    return 0;
  }

  const listen: Handler = ({ args }, answer) => {
    const cid = integer(args[0], 0, LAST_CID);
    const port = integer(args[3], 1, 65_535);
    if (cid === undefined || args[1] !== '0') return answer.cme(50);
    const wrong = port === undefined ? 4 : args[2] !== 'UDP' ? 7 : 0;
    answer.line(`+CASERVER: ${cid},${wrong || openSocket(cid, port ?? 0, true, args[4] === '1')}`);
    answer.ok();
  };

  const connect: Handler = ({ args }, answer) => {
    const cid = integer(args[0], 0, LAST_CID);
    const port = integer(args[4], 1, 65_535);
    const address = args[3];
    if (cid === undefined || args[1] !== '0' || address === undefined) return answer.cme(50);
    const wrong = port === undefined ? 4 : args[2] !== 'UDP' ? 7 : 0;
    const peer = { address, port: port ?? 0 };
    answer.line(`+CAOPEN: ${cid},${wrong || openSocket(cid, localPorts.get(cid) ?? 0, false, args[5] === '1', peer)}`);
    answer.ok();
  };

  const configure: Handler = ({ args }, answer) => {
    const [key, cidText, first, second] = args;
    const cid = integer(cidText, 0, LAST_CID);
    if (cid === undefined) return answer.cme(50);
    if (key === 'LOCALPORT') {
      const port = integer(first, 1, 65_535);
      if (port === undefined) return answer.cme(50);
      localPorts.set(cid, port);
      return answer.ok();
    }
    const socket = sockets.get(cid);
    const port = integer(second, 1, 65_535);
    if (key !== 'REMOTEADDR' || first === undefined || port === undefined) return answer.cme(50);
    if (socket === undefined || extras.get(cid)?.server !== true) return answer.cme(3);
    remotes.set(cid, { address: first, port });
    answer.ok();
  };

  const send: Handler = ({ args }, answer) => {
    const socket = open(args[0]);
    if (socket === undefined || socket.closed) return answer.cme(3);
    if (args.length === 1) {
      answer.line(`+CASEND: ${MAX_SEND}`);
      return answer.ok();
    }
    const length = integer(args[1], 1, MAX_SEND);
    const peer = socket.peer ?? remotes.get(socket.id);
    if (length === undefined) return answer.cme(50);
    if (peer === undefined) return answer.cme(3);
    // Congestion has no code.
    if (kit.sendIsBusy()) return answer.error();
    answer.collect({
      prompt: kit.prompt('\r\n>'),
      length,
      echo: kit.echo(),
      timeoutMs: integer(args[2], 100, 10_000) ?? INPUT_MS,
      done(bytes) {
        if (bytes === undefined || kit.sendFails() || !kit.transmit(bytes, socket.port, peer)) return answer.error();
        const line = `+CASEND: ${socket.id},0,${length}`;
        if (quirks.sent === 'line-first') answer.line(line);
        answer.ok();
        if (quirks.sent === 'line-last') kit.late(line);
      },
    });
  };

  const open = (cid: string | undefined) => {
    const number = integer(cid, 0, LAST_CID);
    return number === undefined ? undefined : sockets.get(number);
  };

  const read: Handler = ({ kind, args }, answer) => {
    if (kind === 'read') {
      for (const socket of sockets.all()) answer.line(`+CARECV: ${socket.id},${waitingBytes(socket)}`);
      return answer.ok();
    }
    const socket = open(args[0]);
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
    const from = showsSource.current === 1 ? `${source.address},${source.port},` : '';
    const end = quirks.trailer === 'blank-line' ? '\r\n' : '';
    answer.data(`\r\n+CARECV: ${from}${bytes.length},`, bytes, end);
    answer.ok();
  };

  const close: Handler = ({ args }, answer) => {
    const socket = open(args[0]);
    if (socket === undefined) return answer.cme(3);
    sockets.close(socket.id);
    extras.delete(socket.id);
    remotes.delete(socket.id);
    answer.ok();
  };

  function push(socket: Socket, { bytes, source }: Received): void {
    const from = showsSource.current === 1 ? `,${source.address},${source.port}` : '';
    const header = `\r\n+CAURC: "recv",${socket.id},${bytes.length}${from}\r\n`;
    kit.emit({ kind: 'urc', bytes: Buffer.concat([latin1(header), bytes, latin1('\r\n')]) });
  }

  /** The socket that keeps what this peer sends to a listener, and what is said of it. */
  function announce(listener: Socket, source: Endpoint): { socket: Socket; urc: string } {
    const extra = extras.get(listener.id);
    const usual = { socket: listener, urc: `+CADATAIND: ${listener.id}` };
    if (quirks.newPeer === 'cadataind' || extra?.server !== true) return usual;
    const name = `${source.address}:${source.port}`;
    const isNew = !extra.peers.has(name);
    extra.peers.add(name);
    if (quirks.newPeer === 'canew') return isNew ? { ...usual, urc: newPeerUrc(listener.id, 1, source) } : usual;
    const known = sockets.all().find(({ port, peer }) => port === listener.port && isSame(peer, source));
    if (known !== undefined) return { socket: known, urc: `+CADATAIND: ${known.id}` };
    const cid = freeCid();
    if (cid === undefined) return usual;
    extras.set(cid, { server: false, push: extra.push, peers: new Set() });
    return { socket: sockets.accept(cid, listener.port, source), urc: newPeerUrc(listener.id, cid, source) };
  }

  const freeCid = () => Array.from({ length: LAST_CID + 1 }, (_, cid) => cid).find((cid) => !sockets.get(cid));

  return {
    model: { manufacturer: 'SIMCOM_Ltd', name: 'SIMCOM_SIM7080G', revision: '1951B16SIM7080' },
    unknown: 'plain',
    tellsSim: true,
    idleUrc: '+CPSMSTATUS: "EXIT PSM"',
    deafLines: quirks.autobaud === 'yes' ? 2 : 0,
    boot: bootLines(['RDY', '+CFUN: 1', simLine(world), 'SMS DONE', 'PB DONE']),
    commands: {
      ...Object.fromEntries(['+CSCLK', '+CBANDCFG'].map((name) => [name, accepted()])),
      '+CNMP': remembered(kit, '+CNMP', '2'),
      '+CMNB': remembered(kit, '+CMNB', '3'),
      '+CCID': withSim(
        kit,
        answers(() => `${quirks.ccid === 'named' ? '+CCID: ' : ''}${world.iccid}`),
      ),
      '+CNCFG'({ kind, args }, answer) {
        if (kind === 'read') answer.line(`+CNCFG: 0,1,"${apn ?? ''}"`);
        else if (args[0] === '0') apn = args[2] ?? '';
        answer.ok();
      },
      '+CNACT': withSim(kit, activate),
      '+CASERVER': listen,
      '+CAOPEN': connect,
      '+CACFG': configure,
      '+CASRIP': (command, answer) =>
        quirks.casrip === 'yes' ? setting('+CASRIP', 0, 1, showsSource)(command, answer) : answer.error(),
      '+CASEND': send,
      '+CARECV': read,
      '+CACLOSE': close,
      '+CASTATE'(_, answer) {
        for (const { id, closed } of sockets.all()) {
          answer.line(`+CASTATE: ${id},${closed ? 0 : extras.get(id)?.server ? 2 : 1}`);
        }
        answer.ok();
      },
      '+CAACK': answers(() => '+CAACK: 0,0'),
    },
    receive(port, datagram) {
      const taker = active ? sockets.taker(port, datagram.source) : undefined;
      if (taker === undefined) return false;
      if (extras.get(taker.id)?.push === true) {
        push(taker, datagram);
        return true;
      }
      const { socket, urc } = announce(taker, datagram.source);
      if (!enqueue(socket, datagram)) kit.note(`socket ${socket.id} is full: a datagram is lost`);
      else if (socket.armed) {
        socket.armed = false;
        kit.urc(urc);
      }
      return true;
    },
    contextLost() {
      if (!active) return;
      active = false;
      closeAll();
      kit.urc('+APP PDP: 0,DEACTIVE');
    },
    closeSocket(id) {
      const socket = id === undefined ? sockets.all()[0] : sockets.get(id);
      if (socket === undefined) return false;
      socket.closed = true;
      kit.urc(`+CASTATE: ${socket.id},0`);
      return true;
    },
    sockets: sockets.views,
  };
}

const isSame = (peer: Endpoint | undefined, source: Endpoint) =>
  peer?.address === source.address && peer.port === source.port;

const newPeerUrc = (listener: number, cid: number, source: Endpoint) =>
  `+CANEW: ${listener},${cid},"${source.address}",${source.port}`;
