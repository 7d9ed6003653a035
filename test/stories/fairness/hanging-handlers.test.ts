import { describe, expect, it, onTestFinished } from 'vitest';
import { createAgent } from '../../../agent/agent.js';
import { defineHandler } from '../../../agent/handlers/handler.js';
import { CONTENT_FORMAT } from '../../../shared/coap/content-format.js';
import { parseMessage } from '../../../shared/coap/message.js';
import { requestBytes } from '../../support/coap.js';
import { openPeer, randomAddress } from '../../support/udp.js';

const NEVER = new Promise<never>(() => undefined);
const LIMITS = { running: 16, waiting: 256 };

/** So many addresses take all that there is, each its share. */
const GREEDY = 8;

/** An agent that so many addresses have sent more commands than it takes, each to a handler that never ends. */
async function startBusy(addresses: number) {
  const address = randomAddress();
  const agent = createAgent({
    config: {
      listen: { address },
      allow: ['127.0.0.0/8'],
      state: { folder: 'none' },
      limits: { ...LIMITS, stop: '0s' },
    },
    handlers: [
      defineHandler({ name: 'hang', description: '', timeout: '1h', run: () => NEVER }),
      defineHandler({ name: 'work', description: '', run: () => Promise.resolve('done') }),
    ],
  });
  onTestFinished(() => agent.stop());
  await agent.start();
  const to = { address, port: agent.status().ports[0] ?? 0 };
  const greedy = await Promise.all(Array.from({ length: addresses }, () => openPeer()));
  for (let number = 0; number < 2 * (LIMITS.running + LIMITS.waiting); number++)
    for (const each of greedy) await each.send(`#${number} hang`, to);
  const counters = () => agent.status().counters;
  await expect.poll(() => counters().outcomes.refused).toBeGreaterThan(0);
  const peer = await openPeer();
  return { agent, to, peer, ask: (request: string | Buffer) => peer.ask(request, to) };
}

async function startFull() {
  const started = await startBusy(GREEDY);
  await expect.poll(() => started.agent.status().running).toBe(LIMITS.running);
  return started;
}

describe('with handlers that hang, for commands of one address', () => {
  it('a quarter of the places is left to others, whose commands run', async () => {
    const { agent, ask } = await startBusy(1);
    expect(agent.status().running).toBe((3 / 4) * LIMITS.running);
    expect(String(await ask('#1 work'))).toBe('#1 ok done');
    expect(JSON.parse(String(await ask('{"id":2,"method":"work"}')))).toMatchObject({ result: 'done' });
  });

  it('other addresses share that quarter, and one that has little still finds a place', async () => {
    const { agent, ask } = await startBusy(3);
    expect(agent.status().running).toBeGreaterThanOrEqual((3 / 4) * LIMITS.running);
    expect(String(await ask('#1 work'))).toBe('#1 ok done');
  });
});

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
