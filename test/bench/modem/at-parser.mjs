/** The modem's parser has no entry of its own in dist/: it is bundled here as the agent's is. */
import { randomBytes } from 'node:crypto';
import { join } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { build } from 'esbuild';
import { atLeast, folder, median } from '../lib/support.mjs';

const ROUNDS = 9;
const DATAGRAMS = 4000;
const PAYLOAD_BYTES = 1300;
/** As a USB serial port gives them. */
const CHUNK_BYTES = 512;
const BOUND_MB_PER_SECOND = 5;
const MODEM = fileURLToPath(new URL('../../../agent/transport/modem', import.meta.url));

export const title = 'The parser of a modem’s bytes';
export const method = `${DATAGRAMS} reads of ${PAYLOAD_BYTES} random bytes in each dialect’s form, with the commands before them and the results behind, in chunks of ${CHUNK_BYTES} bytes, through the dialogue that the agent’s engine and \`modem replay\` share, in one process; ${ROUNDS} rounds, medians`;

/** @typedef {{ command(text: string): unknown[], receive(bytes: Buffer): { kind: string }[] }} Dialogue */

/** @type {Record<string, { read?: string, wrap: (payload: Buffer) => (string | Buffer)[] }>} */
const FORMS = {
  quectel: {
    read: 'AT+QIRD=0',
    wrap: (it) => [`\r\n+QIRD: ${it.length},"100.64.0.1",6969\r\n`, it, '\r\n\r\nOK\r\n'],
  },
  simcom7600: { wrap: (it) => [`\r\nRECV FROM:100.64.0.1:6969\r\n+IPD${it.length}\r\n`, it, '\r\n'] },
  simcom7080: {
    read: 'AT+CARECV=0,1459',
    wrap: (it) => [`\r\n+CARECV: 100.64.0.1,6969,${it.length},`, it, '\r\n\r\nOK\r\n'],
  },
  ublox: {
    read: 'AT+USORF=0,1400',
    wrap: (it) => [`\r\n+USORF: 0,"100.64.0.1",6969,${it.length},"`, it, '"\r\n\r\nOK\r\n'],
  },
};

export async function run() {
  const outfile = join(folder, 'modem.mjs');
  const contents = `export { createDialogue } from './at/dialogue/dialogue.js'; export { DIALECTS } from './dialects/index.js';`;
  await build({
    stdin: { contents, resolveDir: MODEM, loader: 'ts' },
    bundle: true,
    platform: 'node',
    format: 'esm',
    outfile,
    logLevel: 'warning',
  });
  const { createDialogue, DIALECTS } = await import(pathToFileURL(outfile).href);
  return Object.entries(FORMS).map(([name, { read, wrap }]) => {
    const answers = Array.from({ length: DATAGRAMS }, () => {
      const bytes = Buffer.concat(wrap(randomBytes(PAYLOAD_BYTES)).map((part) => Buffer.from(part)));
      return Array.from({ length: Math.ceil(bytes.length / CHUNK_BYTES) }, (_, index) =>
        bytes.subarray(index * CHUNK_BYTES, (index + 1) * CHUNK_BYTES),
      );
    });
    const total = answers.flat().reduce((sum, chunk) => sum + chunk.length, 0);
    const rates = Array.from({ length: ROUNDS }, () => {
      /** @type {Dialogue} */
      const dialogue = createDialogue(DIALECTS[name].grammar);
      let datagrams = 0;
      const begun = performance.now();
      for (const chunks of answers) {
        if (read !== undefined) dialogue.command(read);
        for (const chunk of chunks) {
          for (const { kind } of dialogue.receive(chunk)) if (kind === 'datagram') datagrams++;
        }
      }
      const seconds = (performance.now() - begun) / 1000;
      if (datagrams !== DATAGRAMS) throw new Error(`${name}: ${datagrams} of ${DATAGRAMS} datagrams were found`);
      return total / seconds / 1e6;
    });
    return atLeast(`parser, ${name}`, median(rates), BOUND_MB_PER_SECOND, (rate) => `${rate.toFixed(0)} MB/s`);
  });
}
