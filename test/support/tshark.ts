import type { SharedKey } from '../../shared/oscore/identities.js';
import { temporaryFolder, writeFile } from './files.js';
import { type Captured, formatPcap } from './pcap.js';
import { runProcess } from './process.js';

/** Older versions do not know the options of RFC 9175, Echo and Request-Tag. */
const UNKNOWN_OPTIONS = /Invalid Option Number (?:252|292)/g;

/** Has tshark read a capture with a key: what it finds wrong, what it cannot open, and what it opens. */
export async function readWithKey(captured: readonly Captured[], { masterSecret, deviceId, kid }: SharedKey) {
  const file = writeFile(temporaryFolder(), 'capture.pcap', formatPcap(captured));
  const fields = [kid.toString(16).padStart(2, '0'), '', masterSecret.toString('hex'), ''];
  const context = [...fields, Buffer.from(deviceId).toString('hex'), 'AES-CCM-16-64-128 (CCM*)'];
  const key = ['-o', `uat:oscore_contexts:${context.map((field) => `"${field}"`).join(',')}`];
  const ports = new Set(captured.flatMap(({ from, to }) => [from.port, to.port]));
  const asCoap = [...ports].flatMap((port) => ['-d', `udp.port==${port},coap`]);
  const read = async (...args: string[]): Promise<string[]> => {
    const { output } = await runProcess('tshark', ['-r', file, ...asCoap, ...args]);
    return output.split('\n').filter((line) => line !== '' && !line.includes('Running as user'));
  };
  const notices = await read(...key, '-Y', '_ws.expert', '-T', 'fields', '-e', '_ws.expert.message');
  return {
    malformed: await read('-Y', '_ws.malformed'),
    notices: notices.map((line) => line.replaceAll(UNKNOWN_OPTIONS, '')).filter((line) => !/^,*$/.test(line)),
    /** Messages without protection, but for empty ones. */
    unprotected: await read(...key, '-Y', 'coap and not oscore and not coap.code == 0'),
    text: (await read(...key)).join('\n'),
  };
}
