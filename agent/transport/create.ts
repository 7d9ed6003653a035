import { milliseconds } from '../../shared/duration.js';
import type { Config } from '../config/schema.js';
import type { Log } from '../log.js';
import type { ModemTransport } from './modem/modem-transport.js';
import { countSent, type SentCounts } from './sent-counts.js';
import type { Transport } from './transport.js';
import { createUdpTransport } from './udp.js';

/**
 * Makes the transport that the configuration asks for: UDP, the modem's sockets, or both. What is not asked for is not
 * loaded.
 *
 * @param counts where each counts what leaves by it
 */
export async function createTransport(
  config: Config,
  log: Log,
  counts: Readonly<Record<'udp' | 'modem', SentCounts>>,
): Promise<Transport> {
  const { modem, link, gateway } = config;
  const ports = config.listen.ports.map(({ port }) => port);
  // Where it is known which interface is the cellular one, any other address would be of no use.
  const listen = config.listen.address === 'auto' ? (link.interface ?? 'auto') : config.listen.address;
  const { receiveBufferBytes } = config.listen;
  const createUdp = () => createUdpTransport({ listen, ports, gateway, receiveBufferBytes, counts: counts.udp }, log);
  if (modem.path === undefined || link.policy === 'udp') return createUdp();
  const { path } = modem;
  const { loadModemTransport } = await import('./modem/modem-transport.js');
  const createModem = await loadModemTransport();
  const modemOptions = { ...modem, path, ports, gateway, stateFolder: config.state.folder };
  const modemTransport = countSent(createModem(modemOptions, log), counts.modem);
  if (link.policy === 'modem') return modemTransport;
  return both(createUdp(), modemTransport);

  async function both(udp: Transport, modemLink: ModemTransport): Promise<Transport> {
    const [{ createFailover }, { whyNotReached }] = await Promise.all([import('./failover.js'), import('./reach.js')]);
    return createFailover(
      {
        udp,
        modem: modemLink,
        gateway,
        downForMs: milliseconds(link.downFor),
        upForMs: milliseconds(link.upFor),
        whyNotReached: (address) => whyNotReached({ listen, interface: link.interface, gateway }, address),
      },
      log,
    );
  }
}
