import { describe, expect, it, onTestFinished } from 'vitest';
import { createAgent } from '../../../agent/agent.js';
import { defineHandler } from '../../../agent/handlers/handler.js';
import { CONTENT_FORMAT } from '../../../shared/coap/content-format.js';
import { parseMessage } from '../../../shared/coap/message.js';
import { requestBytes } from '../../support/coap.js';
import { openPeer, randomAddress } from '../../support/udp.js';

const NEVER = new Promise<never>(() => undefined);
const LIMITS = { running: 16, waiting: 256 };

/** An agent whose places are all taken by handlers that never end, and whose queue is full. */
async function startFull() {
  const address = randomAddress();
  const agent = createAgent({
    config: {
      listen: { address },
      allow: ['127.0.0.0/8'],
      state: { folder: 'none' },
      limits: { ...LIMITS, stop: '0s' },
    },
    handlers: [defineHandler({ name: 'hang', description: '', timeout: '1h', run: () => NEVER })],
  });
  onTestFinished(() => agent.stop());
  await agent.start();
  const to = { address, port: agent.status().ports[0] ?? 0 };
  const other = await openPeer();
  const isFull = () => agent.status().running === LIMITS.running && agent.status().counters.outcomes.refused > 0;
  for (let number = 0; number < 2 * (LIMITS.running + LIMITS.waiting); number++)
    await other.send(`#${number} hang`, to);
  await expect.poll(isFull, { timeout: 15_000 }).toBe(true);
  const peer = await openPeer();
  return { to, peer, ask: (request: string | Buffer) => peer.ask(request, to) };
}

describe('with all places taken by handlers that hang, and a full queue', () => {
  it.each(['ping', 'echo x', 'info', 'health', 'commands'])('%s is answered in every format', async (command) => {
    const { ask } = await startFull();
    const [method = '', ...params] = command.split(' ');
    expect(String(await ask(`#1 ${command}`))).toMatch(/^#1 ok /);
    expect(JSON.parse(String(await ask(JSON.stringify({ id: 2, method, params }))))).toHaveProperty('result');
    const coap = requestBytes({ path: method, contentFormat: CONTENT_FORMAT.text, payload: params.join(' ') });
    expect(parseMessage(await ask(coap)).code).toBe('2.04');
  });

  it('a hundred requests for the condition of the device at once are all answered', async () => {
    const { peer, to } = await startFull();
    for (let number = 0; number < 100; number++) await peer.send(`#${number} health`, to);
    for (let number = 0; number < 100; number++) expect(String((await peer.next()).bytes)).toContain(' ok ');
  });
});
