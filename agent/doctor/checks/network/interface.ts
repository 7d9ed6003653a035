import { readFile } from 'node:fs/promises';
import { isIP } from 'node:net';
import { networkInterfaces } from 'node:os';
import { isCellular, isLoopbackAddress, isSimAddress, simAddresses } from '../../../transport/cellular.js';
import { listenOf } from '../../../transport/links/links.js';
import { defineCheck } from '../../check.js';
import { usesModem, usesUdp } from '../../context.js';
import { failure, good, type Judgement, note, warning } from '../../finding.js';

interface Observation {
  readonly isUsed: boolean;
  /** A modem is configured as the other link. */
  readonly hasModem: boolean;
  /** `listen.address`; `link.interface` instead of `auto`. */
  readonly listen: string;
  /** Whether the gateway is on this host, as in development. */
  readonly isDevelopment: boolean;
  /** Addresses of each interface that can be a SIM's and reach the gateway. */
  readonly addresses: Readonly<Record<string, readonly string[]>>;
  /** `operstate` of each interface: `up`, `down`, `unknown`, …. */
  readonly states: Readonly<Record<string, string>>;
  /** Names of the cellular interfaces, with and without an address. */
  readonly cellular: readonly string[];
}

/** Checks whether the interface to listen on exists and has an address. */
export const networkInterface = defineCheck<Observation>({
  name: 'interface',
  async look({ config }) {
    const { address: gateway } = config.gateway;
    const addresses = Object.keys(networkInterfaces()).map((name) => [name, simAddresses(name, gateway)]);
    const states = await interfaceStates();
    return {
      isUsed: usesUdp(config),
      hasModem: usesModem(config),
      listen: listenOf(config),
      isDevelopment: isLoopbackAddress(gateway),
      addresses: Object.fromEntries(addresses),
      states,
      cellular: Object.keys(states).filter(isCellular),
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

function judgeAuto({ addresses, states, cellular, hasModem, isDevelopment }: Observation): Judgement {
  const looked = 'cellular interfaces: of the type wwan, or named ww…, ppp… or rmnet…';
  const [withAddress] = cellular.filter((name) => (addresses[name] ?? []).length > 0);
  if (withAddress !== undefined) return good(looked, `${withAddress} has ${addresses[withAddress]?.join(', ')}`);
  if (isDevelopment) return note(looked, 'the gateway is on this host: a loopback address is used');
  const [name] = cellular;
  if (name !== undefined) return withoutAddress(looked, name, states[name], hasModem);
  const others = Object.keys(addresses).filter((one) => addresses[one]?.length !== 0);
  const found = `none found, so the agent does not listen; other interfaces with an address: ${others.join(', ') || 'none'}`;
  const remedy = 'Plug the modem in, or set `link.interface` to the name of the cellular interface.';
  return hasModem ? warning(looked, found, remedy, 'link-down') : failure(looked, found, remedy, 'link-down');
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

function judgeAddress(address: string, { addresses, isDevelopment }: Observation): Judgement {
  const looked = `address ${address}`;
  const isLoopback = isLoopbackAddress(address);
  if (!isSimAddress(address) && !(isLoopback && isDevelopment)) {
    const found = `it is a ${isLoopback ? 'loopback' : 'link-local'} address, never a SIM’s: no command of the network arrives there`;
    return failure(looked, found, NAME_IT, 'link-down');
  }
  // All of 127.0.0.0/8 is local, whether listed or not.
  const owner = isLoopback ? 'lo' : Object.keys(addresses).find((name) => addresses[name]?.includes(address));
  if (owner !== undefined) return good(looked, `assigned to ${owner}`);
  return failure(looked, 'no interface has it', NAME_IT, 'link-down');
}

const NAME_IT = 'Set `listen.address` to the interface’s name, such as wwan0: the SIM’s address may change.';

function withoutAddress(looked: string, name: string, state = 'unknown', isSpare = false): Judgement {
  const found = `${name} has no address; it is ${state}`;
  const remedy = `Bring the connection up: \`sudo nmcli connection up NAME\`, or \`mmcli -m any --simple-connect=apn=super\`; \`ip address show ${name}\` shows the address.`;
  return isSpare ? warning(looked, found, remedy, 'link-down') : failure(looked, found, remedy, 'link-down');
}
