import { isIP } from 'node:net';
import { networkInterfaces } from 'node:os';
import { isVersion6 } from '../../../transport/endpoint.js';
import { interfaceOf, isCellularName } from '../../../transport/links/reach.js';
import { routeSource } from '../../../transport/udp/address.js';
import { defineCheck } from '../../check.js';
import { usesModem, usesUdp } from '../../context.js';
import { failure, good, type Judgement, note, warning } from '../../finding.js';

interface Seen {
  readonly isUsed: boolean;
  readonly hasModem: boolean;
  /** Address of the gateway. */
  readonly gateway: string;
  /** The source address of what is sent there; undefined without a route. */
  readonly source: string | undefined;
  /** The interface that has it. */
  readonly device: string | undefined;
  /** The cellular interface as the configuration names it. */
  readonly named: string | undefined;
  /** An address to listen on, as the configuration names it. */
  readonly address: string | undefined;
  /** Interfaces with an address and a name of cellular ones. */
  readonly cellular: readonly string[];
}

/** By which interface replies leave for the gateway. The kernel is asked; nothing is sent. */
export const route = defineCheck<Seen>({
  name: 'route',
  async look({ config }) {
    const { gateway, link, listen } = config;
    const isAddress = isIP(listen.address) !== 0;
    const source = await routeSource(gateway, isAddress ? listen.address : undefined);
    const isName = !isAddress && listen.address !== 'auto';
    return {
      isUsed: usesUdp(config),
      hasModem: usesModem(config),
      gateway: gateway.address,
      source,
      device: source === undefined ? undefined : source.startsWith('127.') ? 'lo' : interfaceOf(source),
      named: link.interface ?? (isName ? listen.address : undefined),
      address: isAddress ? listen.address : undefined,
      cellular: Object.keys(networkInterfaces()).filter(isCellularName),
    };
  },
  judge: judgeRoute,
});

export function judgeRoute(seen: Seen): Judgement[] {
  const { isUsed, gateway, source, device, named, address, cellular } = seen;
  if (!isUsed) return [note('link.policy', 'only the modem is used: no route is needed')];
  const looked = `route to ${gateway}`;
  const wanted = named ?? cellular[0];
  const add = hostRoute(gateway, wanted ?? 'wwan0');
  if (source === undefined) {
    const remedy =
      wanted === undefined
        ? `Bring the cellular interface up; where it is no default route, add one to the gateway: ${add}`
        : `Add it: ${add}`;
    return [bad(seen, looked, 'there is none: no reply can leave', remedy)];
  }
  const by = `by ${device ?? 'an unknown interface'}, from ${source}`;
  if (address !== undefined && named === undefined) return [good(looked, by)];
  if (wanted === undefined) return [unsure(looked, by, device)];
  if (device === wanted || (named === undefined && isCellularName(device ?? ''))) return [good(looked, by)];
  return [bad(seen, looked, `it is ${by}, and not by ${wanted}: there replies get lost`, `Add one: ${add}`)];
}

/** Nothing tells which interface is the cellular one. */
function unsure(looked: string, by: string, device: string | undefined): Judgement {
  if (device === 'lo') return good(looked, by);
  const remedy = `If ${device} is the cellular interface, write \`listen.address: ${device}\`. If not, bring that up: commands come by no other.`;
  return warning(looked, `it is ${by}, which is not known to be cellular`, remedy);
}

/** It lasts until the interface goes down. */
const hostRoute = (gateway: string, device: string): string =>
  isVersion6(gateway)
    ? `\`sudo ip -6 route add ${gateway}/128 dev ${device}\``
    : `\`sudo ip route add ${gateway}/32 dev ${device}\``;

function bad({ hasModem }: Seen, looked: string, found: string, remedy: string): Judgement {
  return hasModem ? warning(looked, found, remedy, 'link-down') : failure(looked, found, 'link-down', remedy);
}
