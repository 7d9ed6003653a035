import { chmodSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it, onTestFinished } from 'vitest';
import { createControlCommands } from '../../../agent/service/control/command-view.js';
import { createControlEvents } from '../../../agent/service/control/events.js';
import type { Endpoint } from '../../../agent/transport/endpoint.js';
import { temporaryFolder, writeFile } from '../../support/files.js';
import { needs } from '../../support/needs.js';
import { openPeer, randomAddress } from '../../support/udp.js';
import { openControl } from '../service/control/support.js';
import { managedAgent } from '../support.js';
import { startAgent, supersimAgent, supersimAgentAsNobody } from './support.js';

const NO_INTERFACE = 'nosuch0';

/** The built agent with its control socket, and how something is sent by it. */
async function startSender() {
  const socket = join(temporaryFolder(), 'control.sock');
  const { gateway, log } = await startAgent(`control: { socket: ${socket} }`);
  const send = (args: readonly string[], input?: string) =>
    supersimAgent(['send', '--socket', socket, ...args], '', {}, input);
  return { socket, gateway, log, send };
}

/** An agent that has no link, and so keeps what is sent; on the disk if it has a folder. */
async function startWithoutLink(gateway: Endpoint, folder?: string) {
  const agent = managedAgent({ config: { listen: { address: NO_INTERFACE }, gateway, state: { folder } } });
  await agent.start();
  onTestFinished(() => agent.stop());
  const commands = agent.commands();
  const target = {
    status: agent.status,
    commands: commands && createControlCommands(commands),
    events: createControlEvents(agent),
  };
  const { path } = await openControl({ target });
  return { agent, path };
}

describe('supersim-agent send', () => {
  it('sends an argument, standard input or a file unchanged', async () => {
    const { gateway, send } = await startSender();
    const bytes = Buffer.from([0, 1, 0xff, 0x0a]);
    const file = writeFile(temporaryFolder(), 'reading.bin', bytes);
    for (const [args, input, expected] of [
      [['door open'], undefined, 'door open'],
      [['007'], undefined, '007'],
      [['--', '--help'], undefined, '--help'],
      [[], 'from a pipe\n', 'from a pipe\n'],
      [['-'], 'é', 'é'],
      [['--file', file], undefined, bytes],
    ] as const) {
      expect(await send(args, input)).toMatchObject({ code: 0, stdout: 'sent\n', stderr: '' });
      expect((await gateway.next()).bytes).toEqual(Buffer.from(expected));
    }
  });

  it('sends a name and data as an event in JSON', async () => {
    const { gateway, send, log } = await startSender();
    const file = writeFile(temporaryFolder(), 'data.json', ' [1, "é"]\n');
    for (const [args, input, expected] of [
      [['door.opened', '{"door": 3}'], undefined, { event: 'door.opened', data: { door: 3 } }],
      [['door.opened', '0'], undefined, { event: 'door.opened', data: 0 }],
      [['door.opened', '--file', file], undefined, { event: 'door.opened', data: [1, 'é'] }],
      [['door.opened', '-'], 'null', { event: 'door.opened', data: null }],
      [['007'], '', { event: '007' }],
    ] as const) {
      expect(await send(['--json', ...args], input)).toMatchObject({ code: 0, stdout: 'sent\n', stderr: '' });
      expect(JSON.parse((await gateway.next()).bytes.toString())).toEqual(expected);
    }
    expect(log()).toContainEqual(expect.objectContaining({ msg: 'event', event: 'door.opened' }));
  });

  it('sends up to 1300 bytes, and refuses more', async () => {
    const { gateway, send } = await startSender();
    expect(await send([], 'x'.repeat(1300))).toMatchObject({ code: 0 });
    expect((await gateway.next()).bytes).toHaveLength(1300);
    const escaped = `"${'\\u00e9'.repeat(600)}"`;
    expect(await send(['--json', 'x', escaped])).toMatchObject({ code: 0 });
    expect((await gateway.next()).bytes.toString()).toBe(JSON.stringify({ event: 'x', data: 'é'.repeat(600) }));
    const big = writeFile(temporaryFolder(), 'big', Buffer.alloc(100_000, 0x20));
    for (const [args, input] of [
      [['x'.repeat(1301)], undefined],
      [[], 'x'.repeat(1301)],
      [['--file', big], undefined],
      [['--json', 'x', '--file', big], undefined],
      [['--json', 'x', JSON.stringify('x'.repeat(1300))], undefined],
      [['--json', 'x', JSON.stringify('x'.repeat(20_000))], undefined],
    ] as const) {
      const { code, stdout, stderr } = await send(args, input);
      expect(stderr).toMatch(/^error too-large: /);
      expect({ code, stdout }).toEqual({ code: 2, stdout: '' });
    }
    expect(await gateway.everythingSoFar()).toEqual([]);
  });

  it.each([
    [[], ''],
    [['a', 'b'], undefined],
    [['a', '--file', 'b'], undefined],
    [['--file', '/nosuch'], undefined],
    [['--json', 'x', '{door: 3}'], undefined],
    [['--json', 'x', '-'], 'no JSON'],
    [['--json'], undefined],
    [['--file'], undefined],
    [['--bogus', 'x'], undefined],
  ])('sends nothing and exits with 2: %j', async (args, input) => {
    // Nobody listens there: what is wrong is found before anything is asked.
    const socket = join(temporaryFolder(), 'control.sock');
    const { code, stdout } = await supersimAgent(['send', '--socket', socket, ...args], '', {}, input);
    expect({ code, stdout }).toEqual({ code: 2, stdout: '' });
  });

  it('reports that an event waits on disk or in memory, and sends it once a link is up', async () => {
    const folder = temporaryFolder();
    const gateway = await openPeer();
    const { agent, path } = await startWithoutLink(gateway.endpoint, folder);
    const sent = await supersimAgent(['send', '--socket', path, 'kept']);
    expect(sent).toMatchObject({ code: 0, stderr: '' });
    expect(sent.stdout).toMatch(/^waiting .* on disk$/m);
    expect(agent.status().outbox).toMatchObject({ entries: 1 });
    await agent.stop();

    const config = {
      listen: { address: randomAddress(), receiveBufferBytes: 65_536 },
      gateway: gateway.endpoint,
      state: { folder },
    };
    const next = managedAgent({ config });
    await next.start();
    onTestFinished(() => next.stop());
    expect((await gateway.next()).bytes.toString()).toBe('kept');

    const forgetful = await startWithoutLink(gateway.endpoint);
    const held = await supersimAgent(['send', '--socket', forgetful.path, 'held']);
    expect(held.stdout).toMatch(/^waiting .* in memory/);
    expect(held.code).toBe(0);
  });

  it('reports that no agent answers', async () => {
    const socket = join(temporaryFolder(), 'control.sock');
    const { code, stdout, stderr } = await supersimAgent(['send', '--socket', socket, 'x']);
    expect(stderr).toMatch(/^error control-unreachable: /);
    expect({ code, stdout }).toEqual({ code: 1, stdout: '' });
  });

  it.skipIf(needs('root'))('refuses users without permission for the socket', async () => {
    const { socket, gateway, send } = await startSender();
    chmodSync(join(socket, '..'), 0o755);
    const asNobody = supersimAgentAsNobody();
    const { code, stderr } = await asNobody(['send', '--socket', socket, 'x']);
    expect(stderr).toMatch(/^error control-forbidden: /);
    expect(code).toBe(1);
    chmodSync(socket, 0o666);
    expect(await asNobody(['send', '--socket', socket, 'let in'])).toEqual({ code: 0, stderr: '' });
    expect((await gateway.next()).bytes.toString()).toBe('let in');
    expect((await send(['also'])).code).toBe(0);
  });
});
