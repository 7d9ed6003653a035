import { rmSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as rest } from 'node:timers/promises';
import { describe, expect, it, onTestFinished } from 'vitest';
import { createAgent } from '../../../agent/agent.js';
import { defineHandler } from '../../../agent/handlers/handler.js';
import { fill, smallDisk } from '../../agent/storage/support.js';
import { needs } from '../../support/needs.js';
import { openPeer, randomAddress } from '../../support/udp.js';

describe.skipIf(needs('root'))('an agent whose disk is full', () => {
  it('says so in its status and in health, and that it has room again', async () => {
    const folder = smallDisk(512 * 1024);
    const device = { address: randomAddress(), port: 6969 };
    const listen = { address: device.address, ports: [device.port], receiveBufferBytes: 65_536 };
    const once = defineHandler({ name: 'once', description: 'Must not run twice', run: () => 'ran' });
    const config = { listen, allow: ['127.0.0.0/8'], state: { folder } };
    const agent = createAgent({ config, handlers: [once] });
    await agent.start();
    onTestFinished(() => agent.stop());
    const peer = await openPeer();
    const ask = async (command: string) => (await peer.ask(command, device)).toString();
    const health = async () => JSON.parse(await ask(`{"id":${performance.now()},"method":"health"}`));
    expect(await ask('#1 once')).toBe('#1 ok ran');
    expect(await health()).toMatchObject({ result: { journal: 'ok' } });

    fill(folder);
    const answers: string[] = [];
    for (let id = 2; id < 200 && agent.status().journal?.writable === true; id++)
      answers.push(await ask(`#${id} once`));
    expect(answers.at(-1)).toMatch(/error busy/);
    expect(agent.status().journal).toMatchObject({ writable: false, reason: expect.stringContaining('full'), lost: 0 });
    expect(await health()).toMatchObject({ result: { journal: expect.stringMatching(/^busy: .*full/) } });

    // Trying again does not help yet.
    await rest(6000);
    expect(agent.status().journal?.writable).toBe(false);
    rmSync(join(folder, 'filler'));
    await expect.poll(() => agent.status().journal?.writable).toBe(true);
    expect(await health()).toMatchObject({ result: { journal: 'ok' } });
    expect(await ask('#1000 once')).toBe('#1000 ok ran');
  }, 60_000);
});
