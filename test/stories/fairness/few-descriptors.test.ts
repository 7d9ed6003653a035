import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { controlClient } from '../../../agent/service/control/client.js';
import { statusSchema } from '../../../agent/service/control/schema.js';
import { leaveDescriptors, openDescriptors } from '../../support/descriptors.js';
import { prepareDevice } from '../../support/device.js';
import { temporaryFolder, writeScript } from '../../support/files.js';
import { needs } from '../../support/needs.js';
import { openPeer } from '../../support/udp.js';

/** With six or seven free Node would make the pipes of a program, not start it, and never close them. */
const SHORTAGES = [0, 6, 7, 15];

describe.skipIf(needs('prlimit'))('an agent that has no file descriptors left', () => {
  it('refuses as busy what needs a program, answers the rest, and recovers without a leak', async () => {
    const device = await prepareDevice({ handlers: { act: { program: [writeScript('echo acted')] } } });
    const agent = await device.start();
    const peer = await openPeer();
    const ask = async (command: string) => String(await peer.ask(command, device.endpoint));
    expect(await ask('#0 act')).toBe('#0 ok acted');
    const before = openDescriptors(agent.pid).length;
    for (const count of SHORTAGES) {
      leaveDescriptors(agent.pid, count);
      expect(await ask(`#a${count} act`)).toMatch(/^#a\d+ error busy cannot start .*: EMFILE/);
      expect(await ask(`#p${count} ping`)).toMatch(/ok pong$/);
      expect(await ask(`#h${count} health`)).toMatch(/ok .*diskFreeMB=\d+/);
      leaveDescriptors(agent.pid);
      expect(await ask(`#a${count} act`)).toMatch(/^#a\d+ repeat error busy /);
      expect(await ask(`#b${count} act`)).toMatch(/ok acted$/);
    }
    expect(openDescriptors(agent.pid)).toHaveLength(before);
    const status = await controlClient(join(device.folder, 'control.sock'))('GET', '/status', statusSchema);
    expect(status.counters).toMatchObject({ notStarted: { busy: SHORTAGES.length, 'handler-unavailable': 0 } });
    expect(agent.output()).toContain('"handler not started"');
  });

  it('loads code later that it could not load then', async () => {
    const proof = join(temporaryFolder(), 'proof');
    const device = await prepareDevice({
      security: { unprotected: 'allow' },
      device: { restart: [writeScript(`echo >${proof}`)] },
    });
    const agent = await device.start();
    const peer = await openPeer();
    const socket = join(device.folder, 'control.sock');
    const ask = controlClient(socket);
    const status = () => ask('GET', '/status', statusSchema);
    // Then it has started altogether.
    await expect.poll(() => existsSync(socket)).toBe(true);
    leaveDescriptors(agent.pid, 0);
    expect(String(await peer.ask('#1 agent.restart', device.endpoint))).toMatch(/^#1 error running /);
    expect(String((await peer.next()).bytes)).toMatch(/^#1 error busy EMFILE/);
    // One for the connection, none for the code that answers it.
    leaveDescriptors(agent.pid, 1);
    await expect(status()).rejects.toMatchObject({ code: expect.stringMatching(/^control-/) });
    leaveDescriptors(agent.pid);
    await peer.send('#2 agent.restart', device.endpoint);
    await expect.poll(() => existsSync(proof)).toBe(true);
    expect(await status()).toMatchObject({ pid: agent.pid });
  });
});
