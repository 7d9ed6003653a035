import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { libcoapRoot } from './debian-root.js';
import { writeFile } from './files.js';
import { KEY } from './oscore.js';
import { runProcess } from './process.js';

/**
 * Runs the client of Debian 13's libcoap, whose variant with OpenSSL speaks OSCORE, by the loader and the libraries of its
 * own root.
 */
export async function coapClient(
  ...args: string[]
): Promise<{ readonly code: number | NodeJS.Signals; readonly output: string }> {
  const root = await libcoapRoot();
  const libraries = join(root, 'usr', 'lib');
  const folder = readdirSync(libraries).find((name) => /-linux-gnu/.test(name)) ?? '';
  const path = join(libraries, folder);
  const loader = readdirSync(path).find((name) => name.startsWith('ld-linux')) ?? '';
  const client = join(root, 'usr', 'bin', 'coap-client-openssl');
  return runProcess(join(path, loader), ['--library-path', path, client, ...args]);
}

/** Writes a security context in libcoap's form (coap-oscore-conf(5)), and returns the argument of `-E`. */
export function writeOscoreConf(
  folder: string,
  { secret = KEY.masterSecret, kid = KEY.kid }: { readonly secret?: Buffer; readonly kid?: number } = {},
): string {
  const conf = [
    ['master_secret', 'hex', `"${secret.toString('hex')}"`],
    ['id_context', 'ascii', `"${KEY.deviceId}"`],
    ['sender_id', 'hex', `"${kid.toString(16).padStart(2, '0')}"`],
    ['recipient_id', 'hex', '""'],
    ['replay_window', 'integer', '64'],
    ['aead_alg', 'integer', '10'],
    ['hkdf_alg', 'integer', '-10'],
  ];
  const file = writeFile(folder, `oscore-${kid}.conf`, Buffer.from(conf.map((line) => `${line.join(',')}\n`).join('')));
  return `${file},${join(folder, `sequence-${kid}`)}`;
}
