import { readFile } from 'node:fs/promises';
import { isIP } from 'node:net';
import { RULES_UNIT, TABLE } from '../../../packet-filter/ruleset.js';
import { cellularInterfaces, interfaceNames, interfaceOf, isLoopbackAddress } from '../../../transport/cellular.js';
import { listenOf } from '../../../transport/links/links.js';
import { resolveAddress } from '../../../transport/udp/address.js';
import { defineCheck } from '../../check.js';
import { type Context, type Status, usesUdp } from '../../context.js';
import { failure, good, type Judgement, note, warning } from '../../finding.js';
import { readRules } from '../../firewall/read-rules.js';
import { type Chain, followPacket, type Packet } from '../../firewall/rules.js';
import { runProgram } from '../../run-program.js';

interface Observation {
  readonly isUsed: boolean;
  /** Whether the gateway is on this host, as in development. */
  readonly isDevelopment: boolean;
  readonly ports: readonly number[];
  /** The cellular interface, where it is known. */
  readonly interface: string | undefined;
  /** Chains of the table of `secure`, or why the packet filter could not be read. */
  readonly chains: readonly Chain[] | string;
  /** What the running agent knows; undefined without one. */
  readonly status: Status['interface'];
  /** Whether the rules are loaded at the next boot: `enabled`, `disabled`, …; undefined where systemd does not say. */
  readonly unit: string | undefined;
  /** `rp_filter` in force, by interface. */
  readonly rpFilter: Readonly<Record<string, number>>;
}

/** A name that no interface has: it stands for all others. */
const OTHER = '(other)';
const RP_FILTER = ['off', 'strict', 'loose'] as const;

/** Checks whether only the cellular interface reaches the device ports. */
export const interfaceRules = defineCheck<Observation>({
  name: 'interface-rules',
  async look(context) {
    const { config } = context;
    const [{ chains }, status, enabled] = await Promise.all([
      readRules(),
      context.status(),
      runProgram('systemctl', ['is-enabled', RULES_UNIT]),
    ]);
    return {
      isUsed: usesUdp(config),
      isDevelopment: isLoopbackAddress(config.gateway.address),
      ports: config.listen.ports.map(({ port }) => port),
      interface: await cellularInterface(context),
      chains: typeof chains === 'string' ? chains : chains.filter(({ name }) => name.startsWith(`${TABLE} `)),
      status: status instanceof Error ? undefined : status.interface,
      unit: enabled.stdout.trim() || undefined,
      rpFilter: await readRpFilter(),
    };
  },
  judge: judgeInterfaceRules,
});

/** Returns the configured interface, that of the address, or the only cellular one. */
async function cellularInterface({ config }: Context): Promise<string | undefined> {
  const listen = listenOf(config);
  if (config.link.interface !== undefined) return config.link.interface;
  if (listen !== 'auto' && isIP(listen) === 0) return listen;
  const { address } = await resolveAddress(listen, config.gateway);
  if (address !== undefined) return interfaceOf(address);
  const [only, ...more] = cellularInterfaces();
  return more.length === 0 ? only : undefined;
}

/** The kernel takes the larger one of `all` and the interface: ip-sysctl.rst, `rp_filter`. */
async function readRpFilter(): Promise<Record<string, number>> {
  const read = async (name: string) =>
    Number(await readFile(`/proc/sys/net/ipv4/conf/${name}/rp_filter`, 'utf8').catch(() => Number.NaN));
  const all = await read('all');
  const entries = interfaceNames().map(
    async (name): Promise<[string, number]> => [name, Math.max(all, await read(name))],
  );
  return Object.fromEntries((await Promise.all(entries)).filter(([, value]) => !Number.isNaN(value)));
}

export function judgeInterfaceRules(observed: Observation): Judgement[] {
  const { isUsed, isDevelopment, chains, rpFilter } = observed;
  if (!isUsed) return [note('link.policy', 'the agent uses only the modem: it opens no UDP port')];
  if (isDevelopment) return [note('gateway.address', 'the gateway is on this host: no interface is enforced')];
  const judgement = typeof chains === 'string' ? judgeStatus(chains, observed) : judgeTable(chains, observed);
  return [judgement, ...judgeRpFilter(rpFilter, observed.interface)];
}

/** Without root: what the agent itself knows. */
function judgeStatus(why: string, observed: Observation): Judgement {
  const looked = 'status of the agent';
  const { status } = observed;
  if (status === undefined) return note(looked, `the packet filter cannot be read: ${why}`, 'Run it with sudo.');
  if (status.enforcement === 'enforced') return good(looked, `enforced: ${status.reason}`);
  if (status.enforcement === 'unknown') return note(looked, `unknown: ${status.reason}`, 'Run it with sudo.');
  return warning(looked, `not enforced: ${status.reason}`, secureRemedy(observed));
}

function judgeTable(chains: readonly Chain[], observed: Observation): Judgement {
  const { ports, interface: name, unit } = observed;
  const looked = `table ${TABLE}`;
  const list = ports.join(', ');
  if (chains.length === 0) {
    const found = `there is none: every user of this device, and every network that it is in, can send to UDP ${list}`;
    return warning(looked, found, secureRemedy(observed));
  }
  const open = ports.filter((port) => !isClosed(port, chains));
  if (open.length > 0)
    return failure(looked, `it does not keep others from UDP ${open.join(', ')}`, secureRemedy(observed));
  if (name === undefined) return note(looked, `it closes UDP ${list}; the cellular interface is not known`);
  const shut = ports.filter((port) => !isOpenTo(name, port, chains));
  if (shut.length > 0)
    return failure(looked, `it also drops what arrives by ${name} for UDP ${shut.join(', ')}`, secureRemedy(observed));
  if (unit !== undefined && unit !== 'enabled') {
    const remedy = `Run \`sudo systemctl enable ${RULES_UNIT}\`.`;
    return warning(
      looked,
      `only ${name} reaches UDP ${list}, but not after the next boot: the unit is ${unit}`,
      remedy,
    );
  }
  return good(looked, `only ${name} reaches UDP ${list}`);
}

const secureRemedy = ({ interface: name }: Observation): string =>
  `Run \`sudo supersim-agent secure${name === undefined ? ' --interface NAME' : ` --interface ${name}`}\`.`;

/** A command to a device port and its reply, by an interface. */
const packets = (name: string, port: number): Packet[] => [
  {
    ...{ direction: 'in', source: undefined, sourcePort: undefined, destination: undefined },
    ...{ destinationPort: port, interface: name },
  },
  {
    ...{ direction: 'out', source: undefined, sourcePort: port, destination: undefined },
    ...{ destinationPort: 0, interface: name },
  },
];

const isClosed = (port: number, chains: readonly Chain[]): boolean =>
  packets(OTHER, port).every((packet) => followPacket(packet, chains).blockingChain !== undefined);

const isOpenTo = (name: string, port: number, chains: readonly Chain[]): boolean =>
  packets(name, port).every((packet) => followPacket(packet, chains).blockingChain === undefined);

/** Names the kernel's check of source addresses, and what it does not do. */
function judgeRpFilter(values: Readonly<Record<string, number>>, cellular: string | undefined): Judgement[] {
  const names = Object.keys(values).filter((name) => name !== 'lo');
  if (names.length === 0) return [];
  const shown = names.map((name) => `${name} ${values[name]} (${RP_FILTER[values[name] ?? 0] ?? 'unknown'})`);
  const about =
    'it alone protects no port: off and loose it lets a host of another network pass as the gateway; strict, too, while the cellular interface is down; and never does it stop a user of this device';
  const looked =
    cellular === undefined ? 'net.ipv4.conf.*.rp_filter' : `net.ipv4.conf.${cellular}.rp_filter and others`;
  return [note(looked, `${shown.join(', ')}: ${about}`)];
}
