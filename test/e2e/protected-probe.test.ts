import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, onTestFinished, test } from 'vitest';
import { withDemoKey } from '../../bin/demo-key.js';
import { probeProtected } from '../../bin/protected-probe.js';
import type { Loopback } from '../../loopback/index.js';
import { formatMessage, parseMessage } from '../../shared/coap/message.js';
import { DEVICE_PORT } from '../../shared/limits.js';
import { parseKeyFile } from '../../shared/oscore/key-file.js';
import { startTestAgent, startTestLoopback } from '../support/round-trip.js';

const SIM = { sid: `HS${'0'.repeat(32)}`, uniqueName: 'gateway-1', iccid: '8988307000000000000' };

const keysOf = (variables: Readonly<Record<string, string>>) => variables['SUPERSIM_AGENT_SECURITY_KEYS'] ?? '';

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
  const [sim = SIM] = loopback.sims;
  await withDemoKey(sim, async ({ sender }) => {
    await withDemoKey(sim, async (other) => {
      const keys = keysOf(other.agent);
      const state = join(keys, '..', 'state');
      const config = { security: { keys }, state: { folder: state } };
      await startTestAgent(loopback, 'gateway-1', { config, trustsClock: true });
      await expect(probeProtected(loopback, DEVICE_PORT, sender)).rejects.toMatchObject({
        code: 'probe-failed',
        message: expect.stringMatching(
          /^health, protected with the key: no answer arrived in time; a device that does not have this key does not answer\n.* POST .*\n.* is queued\n.* is sent, protected$/,
        ),
      });
    });
  });
});

test('a response that is not protected fails the probe, which tells what it said', async () => {
  const loopback = await startTestLoopback();
  const [sim = SIM] = loopback.sims;
  const port = await startDevice(loopback, (bytes) =>
    formatMessage({ ...parseMessage(bytes), type: 'ACK', code: '2.05', options: [], payload: Buffer.from('{}') }),
  );
  await withDemoKey(sim, async ({ sender }) => {
    await expect(probeProtected(loopback, port, sender)).rejects.toMatchObject({
      code: 'probe-failed',
      message: expect.stringMatching(/an answer without protection, which anyone can have sent, says 2\.05 "\{\}"\n/),
    });
  });
});

test('each demonstration has a secret of its own', async () => {
  const secretOf = () =>
    withDemoKey(SIM, async ({ agent }) => {
      const text = readFileSync(join(keysOf(agent), 'demo.json'), 'utf8');
      return parseKeyFile(text).masterSecret.toString('hex');
    });
  expect(await secretOf()).not.toBe(await secretOf());
});
