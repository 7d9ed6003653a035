import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import type { Endpoint } from '../../agent/transport/endpoint.js';
import { libcoapRoot } from './debian-root.js';
import { writeFile } from './files.js';
import { KEY } from './oscore.js';
import { type Running, runProcess, startProcess } from './process.js';

/**
 * Finds a program of Debian 13's libcoap in its own root, in the variant with OpenSSL, which speaks OSCORE.
 *
 * @returns the root's loader, and the arguments with which it runs the program
 */
async function findProgram(name: 'coap-client' | 'coap-server') {
  const root = await libcoapRoot();
  const libraries = join(root, 'usr', 'lib');
  const folder = readdirSync(libraries).find((each) => /-linux-gnu/.test(each)) ?? '';
  const path = join(libraries, folder);
  const loader = readdirSync(path).find((each) => each.startsWith('ld-linux')) ?? '';
  return { loader: join(path, loader), args: ['--library-path', path, join(root, 'usr', 'bin', `${name}-openssl`)] };
}

/** Runs libcoap's client to its end. */
export async function coapClient(
  ...given: string[]
): Promise<{ readonly code: number | NodeJS.Signals; readonly output: string }> {
  const { loader, args } = await findProgram('coap-client');
  return runProcess(loader, [...args, ...given]);
}

/** Starts libcoap's example server; it ends with the test. It says all that it does. */
export async function startCoapServer({ address, port }: Endpoint, ...given: string[]): Promise<Running> {
  const { loader, args } = await findProgram('coap-server');
  const server = startProcess(loader, [...args, '-A', address, '-p', String(port), '-v', '8', ...given]);
  await server.line(/created UDP\s+endpoint/);
  return server;
}

interface OscoreConf {
  readonly secret?: Buffer;
  readonly deviceId?: string;
  /** The kid of the operator. */
  readonly kid?: number;
  /** Whose security context it is; default: the operator's. */
  readonly side?: 'operator' | 'device';
}

/** Writes a security context in libcoap's form (coap-oscore-conf(5)), and returns the argument of `-E`. */
export function writeOscoreConf(
  folder: string,
  { secret = KEY.masterSecret, deviceId = KEY.deviceId, kid = KEY.kid, side = 'operator' }: OscoreConf = {},
): string {
  const ids = [`"${kid.toString(16).padStart(2, '0')}"`, '""'];
  const [senderId, recipientId] = side === 'operator' ? ids : ids.toReversed();
  const conf = [
    ['master_secret', 'hex', `"${secret.toString('hex')}"`],
    ['id_context', 'ascii', `"${deviceId}"`],
    ['sender_id', 'hex', senderId],
    ['recipient_id', 'hex', recipientId],
    ['replay_window', 'integer', '64'],
    ['aead_alg', 'integer', '10'],
    ['hkdf_alg', 'integer', '-10'],
  ];
  const file = writeFile(folder, `oscore-${kid}.conf`, Buffer.from(conf.map((line) => `${line.join(',')}\n`).join('')));
  return `${file},${join(folder, `sequence-${kid}`)}`;
}
