import { milliseconds } from '../../../shared/duration.js';
import type { Log } from '../../base/log.js';
import { isSame } from '../../config/changes.js';
import type { Config } from '../../config/schema.js';
import type { ModemOptions, ModemTransport } from '../modem/options.js';
import { countSent, type SentCounts } from '../sent-counts.js';
import type { Datagram, Transport } from '../transport.js';
import { createUdpTransport, type UdpTransport } from '../udp/udp.js';
import type { Failover } from './failover.js';

/** The links that a configuration asks for, as one transport. */
export interface Links extends Transport {
  /**
   * Takes up another configuration's `link` and `modem`. UDP's sockets stay bound where UDP stays in use. A modem whose
   * settings are others is closed, and opened anew: until it is up again, what can only leave by it waits.
   *
   * @throws SupersimError `port-in-use`, `port-forbidden` when UDP is to be used again and cannot: nothing has changed
   */
  change(config: Config): Promise<void>;
}

interface Modem {
  readonly transport: ModemTransport;
  readonly options: ModemOptions;
}

/** What the configuration asks for: UDP, the modem's sockets, or both, between which the failover chooses. */
interface Parts {
  readonly settings: Config['link'];
  readonly udp?: UdpTransport | undefined;
  readonly modem?: Modem | undefined;
  readonly failover?: Failover | undefined;
  /** The way that datagrams go: one of these three. */
  readonly way: Omit<Transport, 'start' | 'stop'>;
}

/** Where each link counts what leaves by it. */
export type LinkCounts = Readonly<Record<'udp' | 'modem', SentCounts>>;

/** Makes the transport that the configuration asks for. What is not asked for is not loaded. */
export async function createTransport(config: Config, log: Log, counts: LinkCounts): Promise<Links> {
  let parts = await makeParts(config, undefined, log, counts);
  let receive: (datagram: Datagram) => void = () => undefined;
  let changing = Promise.resolve();
  let stopped = false;

  async function take(next: Config): Promise<void> {
    const before = parts;
    const after = await makeParts(next, before, log, counts);
    if (stopped || after === before) return;
    if (after.udp !== before.udp) await startOrStop(after.udp);
    parts = after;
    after.udp?.listenOn(listenOf(next));
    await before.failover?.stop();
    await after.failover?.start();
    if (after.udp !== before.udp) await before.udp?.stop();
    if (after.modem !== before.modem) await before.modem?.transport.stop();
    // Without UDP there is nothing that the same modem may carry besides.
    if (after.udp === undefined) after.modem?.transport.allowInterruption(true);
    if (after.modem !== before.modem && !stopped) await after.modem?.transport.start(receive);
  }

  async function startOrStop(udp: UdpTransport | undefined): Promise<void> {
    try {
      await udp?.start(receive);
    } catch (error) {
      await udp?.stop();
      throw error;
    }
  }

  return {
    get name() {
      return parts.way.name;
    },
    async start(onDatagram) {
      receive = onDatagram;
      const { udp, failover, modem } = parts;
      // It may find its port in use; a modem that is not there is no error.
      await udp?.start(receive);
      if (stopped) return;
      await failover?.start();
      await modem?.transport.start(receive);
    },
    change(next) {
      changing = take(next);
      return changing;
    },
    send: (bytes, destination, port, done, via) => parts.way.send(bytes, destination, port, done, via),
    maxBytes: () => parts.way.maxBytes(),
    link: () => parts.way.link(),
    address: () => parts.way.address(),
    kernelDrops: () => parts.way.kernelDrops(),
    get modem() {
      return parts.way.modem;
    },
    async stop() {
      stopped = true;
      await changing.catch(() => undefined);
      const { udp, failover, modem } = parts;
      await Promise.all([failover?.stop(), udp?.stop(), modem?.transport.stop()]);
    },
  };
}

/** What stays as it is, is handed on. */
async function makeParts(config: Config, before: Parts | undefined, log: Log, counts: LinkCounts): Promise<Parts> {
  const { link, gateway, modem: settings } = config;
  const udpAlone = () => {
    const udp = before?.udp ?? createUdp(config, log, counts.udp);
    return { settings: link, udp, way: udp };
  };
  if (settings.path === undefined || link.policy === 'udp') return udpAlone();
  const ports = portsOf(config);
  const options = { ...settings, path: settings.path, ports, gateway, stateFolder: config.state.folder };
  const modem =
    isSame(options, before?.modem?.options) && before?.modem
      ? before.modem
      : { transport: countSent(await createModem(options, log), counts.modem), options };
  if (link.policy === 'modem') return { settings: link, modem, way: modem.transport };
  if (modem === before?.modem && isSame(link, before.settings)) return before;
  const { udp } = udpAlone();
  const failover = await createChoice(config, udp, modem.transport, log);
  return { settings: link, udp, modem, failover, way: failover };
}

const portsOf = ({ listen }: Config): number[] => listen.ports.map(({ port }) => port);

/** Where it is known which interface is the cellular one, any other address would be of no use. */
const listenOf = ({ listen, link }: Config): string =>
  listen.address === 'auto' ? (link.interface ?? 'auto') : listen.address;

function createUdp(config: Config, log: Log, counts: SentCounts): UdpTransport {
  const { gateway, listen } = config;
  const { receiveBufferBytes } = listen;
  const listened = { listen: listenOf(config), ports: portsOf(config), gateway };
  return createUdpTransport({ ...listened, receiveBufferBytes, counts }, log);
}

async function createModem(options: ModemOptions, log: Log): Promise<ModemTransport> {
  const { createModemTransport } = await import('../modem/modem-transport.js');
  return createModemTransport(options, log);
}

async function createChoice(config: Config, udp: UdpTransport, modem: ModemTransport, log: Log): Promise<Failover> {
  const { link, gateway } = config;
  const [{ createFailover }, { whyNotReached }] = await Promise.all([import('./failover.js'), import('./reach.js')]);
  const reach = { listen: listenOf(config), interface: link.interface, gateway };
  return createFailover(
    {
      udp,
      modem,
      gateway,
      downForMs: milliseconds(link.downFor),
      upForMs: milliseconds(link.upFor),
      whyNotReached: (address) => whyNotReached(reach, address),
    },
    log,
  );
}
