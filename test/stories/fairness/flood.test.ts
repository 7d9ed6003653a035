import { resolve } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { expect, it } from 'vitest';
import { temporaryFolder, writeFile } from '../../support/files.js';
import { PYTHON } from '../../support/needs.js';
import { program, startProcess } from '../../support/process.js';
import { openPeer, randomAddress } from '../../support/udp.js';

const FLOODER = resolve('test', 'support', 'flooder.py');
/** Ten times what an agent can do of a command that takes 2 ms, and little of what it can read. */
const FLOOD_PER_SECOND = 5000;
const FLOOD_SECONDS = 5;
const PINGS = 200;
const PING_MS = 20;
const LATE_MS = 3000;

const HANDLER = `export const spin = {
  name: 'spin',
  description: 'Keeps the event loop busy for 2 ms',
  safe: true,
  run() {
    const end = performance.now() + 2;
    while (performance.now() < end);
  },
};
`;

it('an address that floods the agent from many ports costs another address hardly any of its commands', async () => {
  const [flooding, address] = [randomAddress(), randomAddress()];
  const peer = await openPeer();
  const folder = temporaryFolder();
  const modules = [writeFile(folder, 'spin.mjs', HANDLER)];
  const settings = { allow: ['127.0.0.0/8'], modules, state: { folder: 'none' } };
  const config = writeFile(folder, 'config.yaml', JSON.stringify(settings));
  const args = ['run', '--config', config, '--address', address, '--port', '6969'];
  const agent = startProcess(program('supersim-agent'), args);
  await agent.line(/"agent started"/);
  const to = { address, port: 6969 };
  const flood = startProcess(PYTHON, [
    FLOODER,
    ...[flooding, to.address, to.port, 'spin', FLOOD_PER_SECOND, FLOOD_SECONDS].map(String),
  ]);
  await delay(500);
  for (let ping = 0; ping < PINGS; ping++) {
    await peer.send(`#${ping} ping`, to);
    await delay(PING_MS);
  }
  await flood.ended;
  const isAnswered = (answers: readonly string[]) => answers.filter((answer) => answer.endsWith(' ok pong')).length;
  const answers: string[] = [];
  for (const end = Date.now() + LATE_MS; answers.length < PINGS && Date.now() < end; await delay(100)) {
    answers.push(...(await peer.everythingSoFar()).map(({ bytes }) => String(bytes)));
  }
  expect(new Set(answers).size).toBe(answers.length);
  expect(isAnswered(answers)).toBeGreaterThanOrEqual(0.95 * PINGS);
  const refused = JSON.parse(await agent.line(/"overload"/));
  expect(refused).toMatchObject({ msg: 'datagram refused', cause: 'overload' });
  expect(refused.source).toContain(`${flooding}:`);
}, 30_000);
