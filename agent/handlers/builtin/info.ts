import { readFileSync } from 'node:fs';
import { arch, networkInterfaces, release, type, uptime } from 'node:os';
import * as z from 'zod';
import { VERSION } from '../../../shared/version.js';
import { isSimAddress } from '../../transport/cellular.js';
import type { LinkView } from '../../transport/transport.js';
import { defineHandler, type HandlerDefinition } from '../handler.js';

/** More addresses could make the reply too long for a datagram. */
const MAX_ADDRESSES = 8;

/** Reports the device's identity. */
export const info = (deviceId: string, link?: () => LinkView): HandlerDefinition =>
  defineHandler({
    name: 'info',
    description: 'Shows ID, version, uptime, boot ID, addresses, model and OS',
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

/** Reports the link in use, and the identities of the modem and the SIM. */
function identityOf({ name, links }: LinkView) {
  const { model, imei, iccid } = links.find(({ modem }) => modem !== undefined)?.modem ?? {};
  return { link: name, modem: model, imei, iccid };
}

/** Returns the first addresses that are neither loopback nor link-local. */
function localAddresses(): string[] {
  return Object.entries(networkInterfaces())
    .flatMap(([name, addresses = []]) =>
      addresses
        .filter((entry) => !entry.internal && isSimAddress(entry.address))
        .map((entry) => `${name}=${entry.address}`),
    )
    .slice(0, MAX_ADDRESSES);
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
