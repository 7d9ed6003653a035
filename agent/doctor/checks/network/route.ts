import { isIP } from 'node:net';
import { cellularInterfaces, interfaceOf, isCellular, isLoopbackAddress } from '../../../transport/cellular.js';
import { isVersion6 } from '../../../transport/endpoint.js';
import { routeSource } from '../../../transport/udp/address.js';
import { defineCheck } from '../../check.js';
import { usesModem, usesUdp } from '../../context.js';
import { failure, good, type Judgement, note, warning } from '../../finding.js';

interface Observation {
  readonly isUsed: boolean;
  readonly hasModem: boolean;
  /** Address of the gateway. */
  readonly gateway: string;
  /** Source address of datagrams to the gateway; undefined without a route. */
  readonly source: string | undefined;
  /** The interface that has the source address. */
  readonly device: string | undefined;
  /** The interface named in the configuration. */
  readonly named: string | undefined;
  /** The listen address named in the configuration. */
  readonly address: string | undefined;
  /** The cellular interfaces. */
  readonly cellular: readonly string[];
}

/** Checks by which interface replies to the gateway leave. Asks the kernel; sends nothing. */
export const route = defineCheck<Observation>({
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
      device: source === undefined ? undefined : isLoopbackAddress(source) ? 'lo' : interfaceOf(source),
      named: link.interface ?? (isName ? listen.address : undefined),
      address: isAddress ? listen.address : undefined,
      cellular: cellularInterfaces(),
    };
  },
  judge: judgeRoute,
});

export function judgeRoute(observed: Observation): Judgement[] {
  const { isUsed, gateway, source, device, named, address, cellular } = observed;
  if (!isUsed) return [note('link.policy', 'the agent uses only the modem: it needs no route')];
  const looked = `route to ${gateway}`;
  const wanted = named ?? cellular[0];
  const add = hostRoute(gateway, wanted ?? 'wwan0');
  if (source === undefined) {
    const remedy =
      wanted === undefined
        ? `Bring the cellular interface up; where it is not the default route, add a route to the gateway: ${add}`
        : `Add a route: ${add}`;
    return [noReplyPath(observed, looked, 'there is no route: replies cannot be sent', remedy)];
  }
  const by = `by ${device ?? 'an unknown interface'}, source ${source}`;
  if (address !== undefined && named === undefined) return [good(looked, by)];
  if (wanted === undefined) return [judgeUnknown(looked, by, device)];
  if (device === wanted || (named === undefined && device !== undefined && isCellular(device)))
    return [good(looked, by)];
  return [
    noReplyPath(
      observed,
      looked,
      `replies leave ${by} instead of by ${wanted}, and get lost there`,
      `Add a route: ${add}`,
    ),
  ];
}

/** Judges a route where no interface is known to be cellular. */
function judgeUnknown(looked: string, by: string, device: string | undefined): Judgement {
  if (device === 'lo') return good(looked, by);
  const remedy = `If ${device} is the cellular interface, set \`link.interface: ${device}\`. If not, bring the cellular interface up: commands arrive only there.`;
  return warning(looked, `replies leave ${by}: not known to be the cellular interface`, remedy);
}

/** Returns the command that adds a route, which lasts until the interface goes down. */
const hostRoute = (gateway: string, device: string): string =>
  isVersion6(gateway)
    ? `\`sudo ip -6 route add ${gateway}/128 dev ${device}\``
    : `\`sudo ip route add ${gateway}/32 dev ${device}\``;

function noReplyPath({ hasModem }: Observation, looked: string, found: string, remedy: string): Judgement {
  return hasModem ? warning(looked, found, remedy, 'link-down') : failure(looked, found, remedy, 'link-down');
}
