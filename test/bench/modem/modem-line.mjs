/** The modem, its network and the API are the loopback's, in this process; the agent is another, on the modem's tty. */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { startLoopback } from 'supersim-agent/loopback';
import { IpCommandClient } from 'supersim-agent/sender';
import { atLeast, folder, startAgent } from '../lib/support.mjs';

const BAUD = 115_200;
/** A start bit, eight bits of data, a stop bit. */
const BITS_PER_BYTE = 10;
const REPLY_BYTES = 1300;
const WARM_UP = 20;
const COUNT = 120;
const IN_FLIGHT = 8;
const TIMEOUT_MS = 60_000;
/** All of one length, so that all commands have as many bytes, and all replies. */
const FIRST_NUMBER = 1000;
/** The gateway, as the modem's network has it. */
const PEER = '"100.64.0.1",6969';
const BOUND = 0.8;

export const title = `Replies of ${REPLY_BYTES} bytes by a modem at ${BAUD} baud`;
export const method = `text commands to a handler that fills a datagram, ${IN_FLIGHT} on their way, through the loopback's API and its virtual modem \`quectel\` on a real tty that carries ${BAUD} bits a second each way; ${COUNT} replies, after ${WARM_UP} that are not counted; against the time that the line needs for the bytes that a command cannot do without, both directions one after the other, ${BITS_PER_BYTE} bits a byte: \`AT+QIRD\`, its header, the command and \`OK\`; \`AT+QISEND\`, the prompt, the reply and \`SEND OK\`. What several commands may share is not counted: the modem's word that something has come, and the read that finds nothing left`;

const textOf = (/** @type {number} */ number) => `#${number} fill`;
const startOf = (/** @type {number} */ number) => `#${number} ok `;

const HANDLER = `export const fill = {
  name: 'fill',
  description: 'Fills a datagram',
  safe: true,
  run: () => 'x'.repeat(${REPLY_BYTES - startOf(FIRST_NUMBER).length}),
};
`;

/** What a command needs on the line at least, in milliseconds. */
function leastMs() {
  const command = textOf(FIRST_NUMBER);
  const said = [
    'AT+QIRD=0\r',
    `\r\n+QIRD: ${command.length},${PEER}\r\n${command}\r\n\r\nOK\r\n`,
    `AT+QISEND=0,${REPLY_BYTES},${PEER}\r`,
    '\r\n> ',
    'x'.repeat(REPLY_BYTES),
    '\r\nSEND OK\r\n',
  ];
  return (said.join('').length * BITS_PER_BYTE * 1000) / BAUD;
}

export async function run() {
  const module = join(folder, 'fill.mjs');
  writeFileSync(module, HANDLER, { mode: 0o600 });
  const path = join(folder, 'modem');
  const loopback = await startLoopback({
    httpPort: 0,
    gatewayPort: 0,
    sourcePort: 'gateway',
    modem: { dialect: 'quectel', sim: 'modem-1', path, baud: BAUD },
  });
  const agent = await startAgent({
    config: { link: { policy: 'modem' }, modem: { path, baudRate: BAUD }, modules: [module] },
    readyMark: 'modem up',
  });
  const measuredMs = await measure(loopback, agent.port);
  await agent.stop();
  await loopback.stop();
  const least = leastMs();
  console.log(
    `  ${(1000 / measuredMs).toFixed(2)} commands/s, ${measuredMs.toFixed(1)} ms each, of which the line needs ${least.toFixed(1)} ms`,
  );
  return [
    atLeast(
      `commands a second by a modem at ${BAUD} baud, against what the line carries`,
      least / measuredMs,
      BOUND,
      (share) => share.toFixed(2),
    ),
  ];
}

/**
 * Keeps commands on their way until enough are answered, each once and in full.
 *
 * @param {import('supersim-agent/loopback').Loopback} loopback
 * @param {number} devicePort
 * @returns {Promise<number>} from one reply to the next on average, in milliseconds
 */
async function measure({ accountSid, authToken, url: baseUrl, modem, onEvent }, devicePort) {
  const client = new IpCommandClient({ accountSid, authToken, baseUrl });
  /** @type {Set<number>} */
  const awaited = new Set();
  let next = FIRST_NUMBER;
  let replies = 0;
  let begun = Number.NaN;
  return new Promise((resolve, reject) => {
    const late = setTimeout(() => end(new Error(`${replies} replies in ${TIMEOUT_MS / 1000} s`)), TIMEOUT_MS);
    const forget = onEvent((event) => {
      if (event.type !== 'command' || event.command.direction !== 'from_sim') return;
      const bytes = Buffer.from(event.command.payload, 'base64');
      const number = Number(/^#(\d+) ok x+$/.exec(bytes.toString())?.[1]);
      if (bytes.length !== REPLY_BYTES || !awaited.delete(number)) {
        return end(new Error(`a reply of ${bytes.length} bytes that nothing waits for: ${bytes.subarray(0, 80)}`));
      }
      replies++;
      if (replies === WARM_UP) begun = performance.now();
      if (replies === WARM_UP + COUNT) return end();
      void send();
    });
    /** @param {unknown} [error] */
    function end(error) {
      clearTimeout(late);
      forget();
      if (error === undefined) resolve((performance.now() - begun) / COUNT);
      else reject(error);
    }
    async function send() {
      const number = next++;
      awaited.add(number);
      await client.create({ sim: modem?.simName ?? '', payload: textOf(number), devicePort }).catch(end);
    }
    for (let place = 0; place < IN_FLIGHT; place++) void send();
  });
}
