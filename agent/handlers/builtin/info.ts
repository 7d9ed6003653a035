import { readFileSync } from 'node:fs';
import { arch, networkInterfaces, release, type, uptime } from 'node:os';
import * as z from 'zod';
import { VERSION } from '../../../shared/version.js';
import type { LinkView } from '../../transport/transport.js';
import { defineHandler, type HandlerDefinition } from '../handler.js';

/** More could make the reply too long for a datagram. */
const MOST_ADDRESSES = 8;

/** What the device is. */
export const info = (deviceId: string, link?: () => LinkView): HandlerDefinition =>
  defineHandler({
    name: 'info',
    description: 'Tells what the device is: id, version, uptime, boot id, addresses, model, OS',
    params: z.object({}),
    safe: true,
    run: () => ({
      device: deviceId,
      agent: VERSION,
      agentUptime: Math.round(process.uptime()),
      uptime: Math.round(uptime()),
      bootId: readLine('/proc/sys/kernel/random/boot_id'),
      addresses: localAddresses().join(','),
      model: readLine('/proc/device-tree/model') ?? readLine('/sys/class/dmi/id/product_name'),
      os: osName(),
      kernel: `${type()} ${release()} ${arch()}`,
      node: process.versions.node,
      ...(link && identityOf(link())),
    }),
  });

/** The link in use, and what the modem and its SIM are. */
function identityOf({ name, links }: LinkView) {
  const { model, imei, iccid } = links.find(({ modem }) => modem !== undefined)?.modem ?? {};
  return { link: name, modem: model, imei, iccid };
}

/** The first addresses that are neither the loopback's own nor link-local, such as each container's interface has. */
function localAddresses(): string[] {
  return Object.entries(networkInterfaces())
    .flatMap(([name, addresses = []]) =>
      addresses
        .filter((entry) => !entry.internal && !entry.address.startsWith('fe80:'))
        .map((entry) => `${name}=${entry.address}`),
    )
    .slice(0, MOST_ADDRESSES);
}

function osName(): string | undefined {
  const line = /^PRETTY_NAME="?([^"\n]*)/m.exec(readText('/etc/os-release') ?? '');
  return line?.[1];
}

const readLine = (path: string): string | undefined => readText(path)?.split(/[\n\0]/, 1)[0];

function readText(path: string): string | undefined {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return undefined;
  }
}
