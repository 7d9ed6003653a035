import { readFile } from 'node:fs/promises';
import { isIP } from 'node:net';
import { networkInterfaces } from 'node:os';
import { isVersion6 } from '../../../transport/endpoint.js';
import { isCellularName } from '../../../transport/links/reach.js';
import { defineCheck } from '../../check.js';
import { usesModem, usesUdp } from '../../context.js';
import { failure, good, type Judgement, note, warning } from '../../finding.js';

interface Observation {
  readonly isUsed: boolean;
  /** A modem is configured as the other link. */
  readonly hasModem: boolean;
  /** `listen.address`; `link.interface` instead of `auto`. */
  readonly listen: string;
  /** Addresses of each interface that could reach the gateway. */
  readonly addresses: Readonly<Record<string, readonly string[]>>;
  /** `operstate` of each interface: `up`, `down`, `unknown`, …. */
  readonly states: Readonly<Record<string, string>>;
}

/** Checks whether the interface to listen on exists and has an address. */
export const networkInterface = defineCheck<Observation>({
  name: 'interface',
  async look({ config }) {
    const { listen, link } = config;
    const family = isVersion6(config.gateway.address) ? 'IPv6' : 'IPv4';
    const addresses = Object.entries(networkInterfaces()).map(([name, all = []]) => {
      const usable = all.filter((one) => one.family === family && !one.address.startsWith('fe80:'));
      return [name, usable.map(({ address }) => address)];
    });
    return {
      isUsed: usesUdp(config),
      hasModem: usesModem(config),
      listen: listen.address === 'auto' ? (link.interface ?? 'auto') : listen.address,
      addresses: Object.fromEntries(addresses),
      states: await interfaceStates(),
    };
  },
  judge: judgeInterface,
});

/** Includes interfaces without an address. */
async function interfaceStates(): Promise<Record<string, string>> {
  const table = await readFile('/proc/net/dev', 'utf8').catch(() => '');
  const names = [...table.matchAll(/^\s*([^\s:|]+):/gm)].map(([, name = '']) => name);
  const states = names.map(async (name): Promise<[string, string]> => {
    const state = await readFile(`/sys/class/net/${name}/operstate`, 'utf8').catch(() => 'unknown');
    return [name, state.trim()];
  });
  return Object.fromEntries(await Promise.all(states));
}

export function judgeInterface(observed: Observation): Judgement[] {
  if (!observed.isUsed) return [note('link.policy', 'the agent uses only the modem: it needs no interface')];
  if (observed.listen === 'auto') return [judgeAuto(observed)];
  return [
    isIP(observed.listen) === 0 ? judgeNamed(observed.listen, observed) : judgeAddress(observed.listen, observed),
  ];
}

function judgeAuto({ addresses, states }: Observation): Judgement {
  const looked = 'cellular interfaces by name: ww…, ppp…, rmnet…';
  const names = Object.keys(states).filter(isCellularName);
  const [withAddress] = names.filter((name) => (addresses[name] ?? []).length > 0);
  if (withAddress !== undefined) return good(looked, `${withAddress} has ${addresses[withAddress]?.join(', ')}`);
  const [name] = names;
  if (name !== undefined) return withoutAddress(looked, name, states[name]);
  const others = Object.keys(addresses).filter((one) => one !== 'lo' && addresses[one]?.length !== 0);
  const found = `none found; other interfaces with an address: ${others.join(', ') || 'none'}`;
  return note(looked, found, 'If the cellular interface has another name, set it in `listen.address`.');
}

function judgeNamed(name: string, { addresses, states, hasModem }: Observation): Judgement {
  const looked = `interface ${name}`;
  const own = addresses[name] ?? [];
  if (own.length > 0) return good(looked, `it has ${own.join(', ')}`);
  if (states[name] !== undefined) return withoutAddress(looked, name, states[name], hasModem);
  const found = 'no interface has this name';
  const remedy = `Interfaces: ${Object.keys(states).join(', ') || 'none'}. Check the modem with \`mmcli -m any\` or \`lsusb\`, or correct \`listen.address\` and \`link.interface\`.`;
  return hasModem ? warning(looked, found, remedy, 'link-down') : failure(looked, found, remedy, 'link-down');
}

function judgeAddress(address: string, { addresses }: Observation): Judgement {
  const looked = `address ${address}`;
  // All of 127.0.0.0/8 is local, whether listed or not.
  const owner = address.startsWith('127.')
    ? 'lo'
    : Object.keys(addresses).find((name) => addresses[name]?.includes(address));
  if (owner !== undefined) return good(looked, `assigned to ${owner}`);
  const remedy = 'Set `listen.address` to the interface’s name, such as wwan0: the SIM’s address may change.';
  return failure(looked, 'no interface has it', remedy, 'link-down');
}

function withoutAddress(looked: string, name: string, state = 'unknown', isSpare = false): Judgement {
  const found = `${name} has no address; it is ${state}`;
  const remedy = `Bring the connection up: \`sudo nmcli connection up NAME\`, or \`mmcli -m any --simple-connect=apn=super\`; \`ip address show ${name}\` shows the address.`;
  return isSpare ? warning(looked, found, remedy, 'link-down') : failure(looked, found, remedy, 'link-down');
}
