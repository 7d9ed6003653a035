import { readFile } from 'node:fs/promises';
import { isIP } from 'node:net';
import { networkInterfaces } from 'node:os';
import { isVersion6 } from '../../../transport/endpoint.js';
import { isCellularName } from '../../../transport/links/reach.js';
import { defineCheck } from '../../check.js';
import { usesModem, usesUdp } from '../../context.js';
import { failure, good, type Judgement, note, warning } from '../../finding.js';

interface Seen {
  readonly isUsed: boolean;
  /** What the agent falls back to. */
  readonly hasModem: boolean;
  /** `listen.address`, or `link.interface` where that says more. */
  readonly listen: string;
  /** Addresses of each interface that could reach the gateway. */
  readonly addresses: Readonly<Record<string, readonly string[]>>;
  /** `up`, `down`, `unknown`, …, of each interface that there is. */
  readonly states: Readonly<Record<string, string>>;
}

/** Whether there is an interface to listen on, and whether it has an address. */
export const networkInterface = defineCheck<Seen>({
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

/** Those without an address too. */
async function interfaceStates(): Promise<Record<string, string>> {
  const table = await readFile('/proc/net/dev', 'utf8').catch(() => '');
  const names = [...table.matchAll(/^\s*([^\s:|]+):/gm)].map(([, name = '']) => name);
  const states = names.map(async (name): Promise<[string, string]> => {
    const state = await readFile(`/sys/class/net/${name}/operstate`, 'utf8').catch(() => 'unknown');
    return [name, state.trim()];
  });
  return Object.fromEntries(await Promise.all(states));
}

export function judgeInterface(seen: Seen): Judgement[] {
  if (!seen.isUsed) return [note('link.policy', 'only the modem is used: no interface is needed')];
  if (seen.listen === 'auto') return [judgeAuto(seen)];
  return [isIP(seen.listen) === 0 ? judgeNamed(seen.listen, seen) : judgeAddress(seen.listen, seen)];
}

function judgeAuto({ addresses, states }: Seen): Judgement {
  const looked = 'interfaces with names of cellular ones: ww…, ppp…, rmnet…';
  const names = Object.keys(states).filter(isCellularName);
  const [withAddress] = names.filter((name) => (addresses[name] ?? []).length > 0);
  if (withAddress !== undefined) return good(looked, `${withAddress} has ${addresses[withAddress]?.join(', ')}`);
  const [name] = names;
  if (name !== undefined) return without(looked, name, states[name]);
  const others = Object.keys(addresses).filter((one) => one !== 'lo' && addresses[one]?.length !== 0);
  const found = `there is none; with an address: ${others.join(', ') || 'nothing'}`;
  return note(looked, found, 'If the cellular interface is called otherwise, name it in `listen.address`.');
}

function judgeNamed(name: string, { addresses, states, hasModem }: Seen): Judgement {
  const looked = `interface ${name}`;
  const own = addresses[name] ?? [];
  if (own.length > 0) return good(looked, `it has ${own.join(', ')}`);
  if (states[name] !== undefined) return without(looked, name, states[name], hasModem);
  const found = 'there is no interface of this name';
  const remedy = `There are: ${Object.keys(states).join(', ') || 'none'}. Check the modem with \`mmcli -m any\` or \`lsusb\`, or correct \`listen.address\` and \`link.interface\`.`;
  return hasModem ? warning(looked, found, remedy, 'link-down') : failure(looked, found, 'link-down', remedy);
}

function judgeAddress(address: string, { addresses }: Seen): Judgement {
  const looked = `address ${address}`;
  // All of it is this machine's, whether it is listed or not.
  const owner = address.startsWith('127.')
    ? 'lo'
    : Object.keys(addresses).find((name) => addresses[name]?.includes(address));
  if (owner !== undefined) return good(looked, `${owner} has it`);
  const remedy = 'Write the interface’s name into `listen.address`, such as wwan0: the SIM’s address may change.';
  return failure(looked, 'no interface has it', 'link-down', remedy);
}

function without(looked: string, name: string, state = 'unknown', isSpare = false): Judgement {
  const found = `${name} has no address; it is ${state}`;
  const remedy = `Bring the connection up: \`sudo nmcli connection up\` with its name, or \`mmcli -m any --simple-connect=apn=super\`; \`ip address show ${name}\` shows it.`;
  return isSpare ? warning(looked, found, remedy, 'link-down') : failure(looked, found, 'link-down', remedy);
}
