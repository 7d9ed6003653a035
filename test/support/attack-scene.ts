import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { expect } from 'vitest';
import type { ConfigInput } from '../../agent/config/schema.js';
import { controlClient } from '../../agent/service/control/client.js';
import { statusSchema } from '../../agent/service/control/schema.js';
import { environment } from '../agent/cli/support.js';
import { linesOf } from './device.js';
import { temporaryFolder, writeFile } from './files.js';
import { type Host, joinHosts, openHost } from './namespaces.js';
import { program, type Running } from './process.js';

const WAIT = { timeout: 20_000, interval: 50 };
const GATEWAY = '100.64.0.1';
/** The SIM's address, and that of another customer's SIM. */
export const SIM = '100.64.7.7';
const OTHER_SIM = '100.64.9.9';
/** The device's address in the local network. */
const LAN_ADDRESS = '192.168.1.5';
/** How long a datagram and its handler may take. */
const SETTLE_MS = 700;
const NOBODY = 65_534;

/** Sends a datagram, in hexadecimal, from an address; from a port of its own it waits for the answer, and prints it. */
const SEND = `
const [, from, to, payload, port] = process.argv;
const socket = require('node:dgram').createSocket('udp4');
socket.on('message', (bytes) => {
  console.log(bytes.toString('hex'));
  socket.close();
});
socket.bind(Number(port ?? 0), from, () =>
  socket.send(Buffer.from(payload, 'hex'), 6969, to, () => port ?? socket.close()),
);
`;

/** Those who try to have a handler run, besides the gateway. */
export const ATTACKERS = {
  'local-user': 'an unprivileged user of the device, who sends to the SIM’s own address',
  'lan-rp-filter-0': 'a host of the local network that forges the gateway’s address, with rp_filter 0',
  'lan-rp-filter-2': 'the same with rp_filter 2, loose',
  'other-sim': 'another SIM of the carrier’s range, which arrives by the cellular interface',
  'lan-interface-down': 'the forging host with rp_filter 1, strict, while the cellular interface is down',
  'lan-rp-filter-1': 'the same while the cellular interface is up',
} as const;
export type Attacker = keyof typeof ATTACKERS;

/** Returns the datagram that an attacker sends. */
export type Forge = (attacker: Attacker) => Buffer;

/** The command that an attacker wants to run, as anyone can send it. */
export const asText: Forge = (attacker) => Buffer.from(`mark ${attacker}`);

/** A gateway in the field: on the cellular network with its gateway and another SIM, and on a local network. */
export async function openAttackScene(config: ConfigInput = {}, env: Record<string, string> = {}) {
  const [device, carrier, lan] = [openHost('device'), openHost('carrier'), openHost('lan')];
  await plugModem();
  joinHosts(device, lan, 'eth0');
  device.ip('address', 'add', `${LAN_ADDRESS}/24`, 'dev', 'eth0');
  lan.ip('address', 'add', '192.168.1.1/24', 'dev', 'eth0');
  lan.ip('address', 'add', `${GATEWAY}/32`, 'dev', 'lo');
  lan.ip('route', 'add', SIM, 'via', LAN_ADDRESS);
  device.ip('route', 'add', 'default', 'via', '192.168.1.1');

  const folder = temporaryFolder();
  const [socket, marks] = [join(folder, 'control.sock'), join(folder, 'marks')];
  const mark = { program: ['/bin/sh', '-c', `echo "$SUPERSIM_ARG_1" >>${marks}`] };
  const settings: ConfigInput = { state: { folder: 'none' }, control: { socket }, handlers: { mark }, ...config };
  const file = writeFile(folder, 'config.yaml', JSON.stringify(settings));
  const agent = device.start(process.execPath, [program('supersim-agent'), 'run', '--config', file], environment(env));
  await agent.line(/"agent started"/);
  const ask = controlClient(socket);
  const status = () => ask('GET', '/status', statusSchema);
  await listens(SIM);

  /** Adds the cellular interface, as when the modem is enumerated. */
  async function plugModem(): Promise<void> {
    joinHosts(device, carrier, 'wwan0');
    device.ip('address', 'add', `${SIM}/32`, 'dev', 'wwan0');
    device.ip('route', 'add', '100.64.0.0/10', 'dev', 'wwan0');
    for (const address of [GATEWAY, OTHER_SIM]) carrier.ip('address', 'add', `${address}/32`, 'dev', 'wwan0');
    carrier.ip('route', 'add', SIM, 'dev', 'wwan0');
  }

  async function listens(address: string | undefined): Promise<void> {
    await expect.poll(async () => (await status()).address, WAIT).toBe(address);
  }

  async function finish(running: Running): Promise<string> {
    expect([await running.ended, running.output()]).toEqual([0, running.output()]);
    return running.output();
  }

  const send = (host: Host, from: string, to: string, payload: Buffer, ...port: string[]) =>
    finish(host.start(process.execPath, ['-e', SEND, from, to, payload.toString('hex'), ...port]));

  const setRpFilter = (value: number) =>
    finish(device.start('sh', ['-ec', `for f in /proc/sys/net/ipv4/conf/*/rp_filter; do echo ${value} >$f; done`]));

  /** Forges the gateway's address, to both addresses of the device. */
  async function forge(payload: Buffer): Promise<void> {
    for (const to of [SIM, LAN_ADDRESS]) await send(lan, GATEWAY, to, payload);
  }

  const attacks: Readonly<Record<Attacker, (payload: Buffer) => Promise<unknown>>> = {
    'local-user': (payload) =>
      finish(
        device.start('setpriv', [
          ...[`--reuid=${NOBODY}`, `--regid=${NOBODY}`, '--clear-groups'],
          ...['bash', '-c', `printf "$0" >/dev/udp/${SIM}/6969`, escaped(payload)],
        ]),
      ),
    async 'lan-rp-filter-0'(payload) {
      await setRpFilter(0);
      await forge(payload);
    },
    async 'lan-rp-filter-2'(payload) {
      await setRpFilter(2);
      await forge(payload);
    },
    'other-sim': (payload) => send(carrier, OTHER_SIM, SIM, payload),
    async 'lan-interface-down'(payload) {
      await setRpFilter(1);
      device.ip('link', 'set', 'wwan0', 'down');
      // The agent looks once a second.
      await pause(2500);
      await forge(payload);
      await pause(SETTLE_MS);
      device.ip('link', 'set', 'wwan0', 'up');
      device.ip('route', 'replace', '100.64.0.0/10', 'dev', 'wwan0');
      await listens(SIM);
    },
    async 'lan-rp-filter-1'(payload) {
      await setRpFilter(1);
      await forge(payload);
    },
  };

  return {
    device,
    agent,
    status,
    /** Loads exactly the rules that `supersim-agent secure` writes. */
    async secure(): Promise<void> {
      const args = [program('supersim-agent'), 'secure', '--dry-run', '--interface', 'wwan0', '--config', file];
      const printed = await finish(device.start(process.execPath, args, environment()));
      const [, rules = ''] = /^Would write .*:\n\n([\s\S]*)\n\nWould run:/.exec(printed) ?? [];
      await finish(device.start('nft', ['--file', writeFile(folder, 'interface.nft', `${rules}\n`)]));
    },
    /** Takes the modem away, and plugs it in again: the interface has another index. */
    async replugModem(): Promise<void> {
      device.ip('link', 'delete', 'wwan0');
      await listens(undefined);
      await plugModem();
      await listens(SIM);
    },
    /** Sends a datagram as the gateway does. @returns what the device answers */
    exchange: async (payload: Buffer): Promise<Buffer> =>
      Buffer.from((await send(carrier, GATEWAY, SIM, payload, '6969')).trim(), 'hex'),
    /** Has all of these try, one after the other. @returns who has run the handler until now */
    async attack(who: readonly Attacker[], datagramOf: Forge = asText): Promise<string[]> {
      for (const attacker of who) {
        await attacks[attacker](datagramOf(attacker));
        await pause(SETTLE_MS);
      }
      return [...new Set(linesOf(marks))];
    },
  };
}

/** As bash's printf takes any bytes. */
const escaped = (bytes: Buffer): string => bytes.toString('hex').replaceAll(/../g, '\\x$&');
