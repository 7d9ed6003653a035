import { milliseconds } from '../../../shared/duration.js';
import type { Log } from '../../base/log.js';
import { isSame } from '../../config/changes.js';
import { type Config, stateFolderOf } from '../../config/schema.js';
import { interfaceOf, isSimAddress } from '../cellular.js';
import type { ModemOptions, ModemTransport } from '../modem/options.js';
import { countSent, type SentCounts } from '../sent-counts.js';
import type { Datagram, Transport } from '../transport.js';
import { createUdpTransport, type UdpTransport } from '../udp/udp.js';
import type { Failover } from './failover.js';

/** The links that a configuration asks for, as one transport. */
export interface Links extends Transport {
  /**
   * Applies `link` and `modem` of another configuration. UDP's sockets stay bound where UDP stays in use. A modem whose
   * settings differ is closed and opened again: until it is up, what only the modem can send waits.
   *
   * @throws SupersimError `port-in-use`, `port-forbidden` when UDP is to be used again and cannot be; nothing has changed then
   */
  change(config: Config): Promise<void>;
  /**
   * Returns what is known of the device ports of UDP, for status; undefined where UDP is not in use.
   *
   * @param since see {@link UdpTransport.ownArrives}
   */
  udpPorts(since?: number): UdpPorts | undefined;
}

/** Who reaches the device ports of UDP. */
export interface UdpPorts {
  /** The interface whose address is listened on; undefined without one, and in development. */
  readonly interface: string | undefined;
  /** See {@link UdpTransport.ownArrives}. */
  readonly ownArrives: boolean | undefined;
}

interface Modem {
  readonly transport: ModemTransport;
  readonly options: ModemOptions;
}

/** The transports of a configuration: UDP, the modem, or both with the failover between them. */
interface Parts {
  readonly settings: Config['link'];
  readonly udp?: UdpTransport | undefined;
  readonly modem?: Modem | undefined;
  readonly failover?: Failover | undefined;
  /** The transport in use: one of these three. */
  readonly active: Omit<Transport, 'start' | 'stop'>;
}

/** Send counters of each link. */
export type LinkCounts = Readonly<Record<'udp' | 'modem', SentCounts>>;

/** Creates the transport that the configuration asks for. Code of other transports is not loaded. */
export async function createLinks(config: Config, log: Log, counts: LinkCounts): Promise<Links> {
  let parts = await createParts(config, undefined, log, counts);
  let receive: (datagram: Datagram) => void = () => undefined;
  let changing = Promise.resolve();
  let stopped = false;

  async function apply(next: Config): Promise<void> {
    const before = parts;
    const after = await createParts(next, before, log, counts);
    if (stopped || after === before) return;
    if (after.udp !== before.udp) await startUdp(after.udp);
    parts = after;
    after.udp?.listenOn(listenOf(next));
    await before.failover?.stop();
    await after.failover?.start();
    if (after.udp !== before.udp) await before.udp?.stop();
    if (after.modem !== before.modem) await before.modem?.transport.stop();
    // Without UDP the modem carries nothing else.
    if (after.udp === undefined) after.modem?.transport.allowInterruption(true);
    if (after.modem !== before.modem && !stopped) await after.modem?.transport.start(receive);
  }

  async function startUdp(udp: UdpTransport | undefined): Promise<void> {
    try {
      await udp?.start(receive);
    } catch (error) {
      await udp?.stop();
      throw error;
    }
  }

  return {
    get name() {
      return parts.active.name;
    },
    async start(onDatagram) {
      receive = onDatagram;
      const { udp, failover, modem } = parts;
      // UDP may fail with its port in use; a missing modem is no error.
      await udp?.start(receive);
      if (stopped) return;
      await failover?.start();
      await modem?.transport.start(receive);
    },
    change(next) {
      changing = apply(next);
      return changing;
    },
    send: (bytes, destination, port, done, via) => parts.active.send(bytes, destination, port, done, via),
    maxBytes: () => parts.active.maxBytes(),
    link: () => parts.active.link(),
    address: () => parts.active.address(),
    kernelDrops: () => parts.active.kernelDrops(),
    udpPorts: (since) => parts.udp && describePorts(parts.udp, since),
    get modem() {
      return parts.active.modem;
    },
    async stop() {
      stopped = true;
      await changing.catch(() => undefined);
      const { udp, failover, modem } = parts;
      await Promise.all([failover?.stop(), udp?.stop(), modem?.transport.stop()]);
    },
  };
}

function describePorts(udp: UdpTransport, since?: number): UdpPorts {
  const address = udp.address();
  const name = address === undefined || !isSimAddress(address) ? undefined : interfaceOf(address);
  return { interface: name, ownArrives: udp.ownArrives(since) };
}

/** Creates the transports of a configuration; those that stay the same are reused. */
async function createParts(config: Config, before: Parts | undefined, log: Log, counts: LinkCounts): Promise<Parts> {
  const { link, gateway, modem: settings } = config;
  const udpAlone = () => {
    const udp = before?.udp ?? createUdp(config, log, counts.udp);
    return { settings: link, udp, active: udp };
  };
  if (settings.path === undefined || link.policy === 'udp') return udpAlone();
  const ports = portsOf(config);
  const options = { ...settings, path: settings.path, ports, gateway, stateFolder: stateFolderOf(config) };
  const modem =
    isSame(options, before?.modem?.options) && before?.modem
      ? before.modem
      : { transport: countSent(await createModem(options, log), counts.modem), options };
  if (link.policy === 'modem') return { settings: link, modem, active: modem.transport };
  if (modem === before?.modem && isSame(link, before.settings)) return before;
  const { udp } = udpAlone();
  const failover = await createLinkFailover(config, udp, modem.transport, log);
  return { settings: link, udp, modem, failover, active: failover };
}

const portsOf = ({ listen }: Config): number[] => listen.ports.map(({ port }) => port);

/** Returns what UDP listens on: the cellular interface, where it is configured. */
export const listenOf = ({ listen, link }: Pick<Config, 'listen' | 'link'>): string =>
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

async function createLinkFailover(
  config: Config,
  udp: UdpTransport,
  modem: ModemTransport,
  log: Log,
): Promise<Failover> {
  const { link, gateway } = config;
  const [{ createFailover }, { routeProblem }] = await Promise.all([import('./failover.js'), import('./reach.js')]);
  const reach = { listen: listenOf(config), interface: link.interface, gateway };
  return createFailover(
    {
      udp,
      modem,
      gateway,
      downForMs: milliseconds(link.downFor),
      upForMs: milliseconds(link.upFor),
      routeProblem: (address) => routeProblem(reach, address),
    },
    log,
  );
}
