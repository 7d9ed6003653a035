import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { expect, onTestFinished, test } from 'vitest';
import { withDemoKey } from '../../bin/demo-key.js';
import { createOperator } from '../../bin/operator.js';
import { probeProtected } from '../../bin/protected-probe.js';
import type { Loopback } from '../../loopback/index.js';
import { formatMessage, parseMessage } from '../../shared/coap/message.js';
import { DEVICE_PORT } from '../../shared/limits.js';
import { temporaryFolder, writeFile } from '../support/files.js';
import { KEY } from '../support/oscore.js';
import { startTestAgent, startTestLoopback } from '../support/round-trip.js';
import { keyFileText } from '../support/security.js';

const NAMED = { ...KEY, name: 'demo' };

/** Starts a device that answers each request as `answer` says. */
async function startDevice(loopback: Loopback, answer: (request: Buffer) => Buffer): Promise<number> {
  const socket = createSocket('udp4').bind(0, loopback.sims[0]?.address);
  onTestFinished(() => void socket.close());
  socket.on('message', (bytes) => socket.send(answer(bytes), loopback.gateway.port, loopback.gateway.address));
  await once(socket, 'listening');
  return socket.address().port;
}

test('a device that has another key under the same kid does not answer, and the probe says so with its steps', async () => {
  const loopback = await startTestLoopback();
  const folder = temporaryFolder();
  const keys = join(folder, 'keys');
  mkdirSync(keys, { mode: 0o700 });
  writeFile(keys, 'demo.json', keyFileText({ masterSecret: Buffer.alloc(16, 9) }));
  const agent = await startTestAgent(loopback, 'gateway-1', {
    config: { security: { keys }, state: { folder: join(folder, 'state') } },
  });
  await expect(probeProtected(loopback, DEVICE_PORT, NAMED)).rejects.toMatchObject({
    code: 'probe-failed',
    message: expect.stringMatching(
      /^no reply in 5 s: a device that does not have the key demo \(kid 01\) does not answer\n.* POST .*\n.* is queued\n.* is sent, protected$/,
    ),
  });
  expect(agent.status().counters.denied).toMatchObject({ 'bad-tag': 1 });
});

test('a response that is not protected fails the probe', async () => {
  const loopback = await startTestLoopback();
  const port = await startDevice(loopback, (bytes) =>
    formatMessage({ ...parseMessage(bytes), type: 'ACK', code: '2.05', options: [], payload: Buffer.from('{}') }),
  );
  await expect(probeProtected(loopback, port, NAMED)).rejects.toMatchObject({
    code: 'probe-failed',
    message: expect.stringMatching(/^the response cannot be opened with the key: not-oscore\n/),
  });
});

test('an operator never uses a sequence number twice, also within a millisecond', () => {
  const operator = createOperator(KEY);
  const request = { code: '0.01', options: [], payload: Buffer.alloc(0) };
  const numbers = Array.from({ length: 100 }, () => operator.protect(request).number);
  expect(new Set(numbers).size).toBe(numbers.length);
  expect(numbers).toEqual(numbers.toSorted((one, other) => one - other));
});

test('each demonstration has a secret of its own', async () => {
  const secretOf = () => withDemoKey('8988307000000000000', async ({ key }) => key.masterSecret.toString('hex'));
  expect(await secretOf()).not.toBe(await secretOf());
});
