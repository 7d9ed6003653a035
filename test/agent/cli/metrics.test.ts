import { chmodSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { temporaryFolder } from '../../support/files.js';
import { needs } from '../../support/needs.js';
import { readMetrics } from '../../support/prometheus.js';
import { freeTcpPort } from '../../support/tcp.js';
import { startAgent, supersimAgent, supersimAgentAsNobody } from './support.js';

describe.skipIf(needs('python3-prometheus-client'))('supersim-agent metrics', () => {
  it('prints the metrics that the configured port serves', async () => {
    const socket = join(temporaryFolder(), 'control.sock');
    const port = await freeTcpPort();
    const config = `
control: { socket: ${socket} }
metrics: { port: ${port} }
handlers:
  says: { program: [/bin/echo, hello], safe: true }
`;
    const { peer, device } = await startAgent(config, { ready: /serving metrics/ });
    expect((await peer.ask('#1 says', device)).toString()).toBe('#1 ok hello');
    expect((await supersimAgent(['send', '--socket', socket, 'x'])).code).toBe(0);
    const { code, stdout, stderr } = await supersimAgent(['metrics', '--socket', socket]);
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
    const printed = readMetrics(stdout);
    expect(printed.value('supersim_agent_commands_total', { handler: 'says', outcome: 'done' })).toBe(1);
    expect(printed.value('supersim_agent_handler_run_seconds_count', { handler: 'says' })).toBe(1);
    expect(printed.value('supersim_agent_datagrams_sent_total', { transport: 'udp', result: 'sent' })).toBe(2);
    const served = readMetrics(await (await fetch(`http://127.0.0.1:${port}/metrics`)).text());
    const names = (metrics: typeof served) => metrics.families.map(({ name }) => name);
    expect(names(served)).toEqual(names(printed));
  });

  it('reports that no agent answers, and that a user may not use the socket', async () => {
    const path = join(temporaryFolder(), 'control.sock');
    const { code, stdout, stderr } = await supersimAgent(['metrics', '--socket', path]);
    expect(stderr).toMatch(/^error control-unreachable: /);
    expect({ code, stdout }).toEqual({ code: 1, stdout: '' });
  });

  it.skipIf(needs('root'))('refuses users without permission for the socket', async () => {
    const socket = join(temporaryFolder(), 'control.sock');
    await startAgent(`control: { socket: ${socket} }`);
    chmodSync(dirname(socket), 0o755);
    const refused = await supersimAgentAsNobody()(['metrics', '--socket', socket]);
    expect(refused.stderr).toMatch(/^error control-forbidden: /);
    expect(refused.code).toBe(1);
  });
});

describe('an agent whose metrics port is in use', () => {
  it('logs that and runs commands without it', async () => {
    const port = await freeTcpPort();
    await startAgent(`metrics: { port: ${port} }`, { ready: /serving metrics/ });
    const { peer, device, log } = await startAgent(`metrics: { port: ${port} }`, { ready: /metrics port: not opened/ });
    expect((await peer.ask('#1 ping', device)).toString()).toBe('#1 ok pong');
    expect(log()).toContainEqual(expect.objectContaining({ level: 'warn', msg: 'metrics port: not opened' }));
  });
});
