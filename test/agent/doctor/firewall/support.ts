import { expect } from 'vitest';
import { type Chain, followPacket, type Packet } from '../../../../agent/doctor/firewall/rules.js';
import { type Host, twoHosts } from '../../../support/namespaces.js';
import type { Running } from '../../../support/process.js';

const GATEWAY = '100.64.0.1';
const DEVICE = '100.64.5.6';
/** Unfiltered, a datagram takes less than a millisecond. */
const WAIT_MS = 250;

export const PACKET: Packet = {
  direction: 'in',
  source: GATEWAY,
  // Any port that the rules below do not name.
  sourcePort: 40_000,
  destination: DEVICE,
  destinationPort: 6969,
  interface: 'wwan0',
};

/** A device and its gateway; the device prints each datagram that arrives. */
export async function network() {
  const [gateway, device] = twoHosts();
  gateway.ip('address', 'add', `${GATEWAY}/10`, 'dev', 'wwan0');
  device.ip('address', 'add', `${DEVICE}/10`, 'dev', 'wwan0');
  const listen = `require('dgram').createSocket('udp4').on('message', (text) => console.log('got ' + text)).bind(6969, '${DEVICE}', () => console.log('bound'))`;
  const receiver = device.start(process.execPath, ['-e', listen]);
  await receiver.line(/bound/);
  return { gateway, device, receiver };
}

let sent = 0;

/** Returns whether a datagram arrives. */
export async function arrives(gateway: Host, receiver: Running): Promise<boolean> {
  const text = `datagram ${++sent}.`;
  const send = `const s = require('dgram').createSocket('udp4').send('${text}', 6969, '${DEVICE}', () => setTimeout(() => s.close(), 50))`;
  await gateway.start(process.execPath, ['-e', send]).ended;
  const until = performance.now() + WAIT_MS;
  while (performance.now() < until && !receiver.output().includes(text)) await new Promise((go) => setTimeout(go, 5));
  return receiver.output().includes(text);
}

export async function outputOf(host: Host, file: string, ...args: string[]): Promise<string> {
  const running = host.start(file, args);
  expect(await running.ended, running.output()).toBe(0);
  return running.output();
}

export const accepts = (chains: readonly Chain[] | undefined): boolean | undefined => {
  if (chains === undefined) return undefined;
  const { blockingChain, possibleDrops } = followPacket(PACKET, chains);
  expect(possibleDrops).toEqual([]);
  return blockingChain === undefined;
};
