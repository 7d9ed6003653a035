import { describe, expect, it, onTestFinished, vi } from 'vitest';
import { createMeters, observe } from '../../../../agent/command/stats/meters.js';
import { NotStartedError } from '../../../../agent/handlers/not-started.js';
import { defineHandler } from '../../../../agent/index.js';
import { renderMetrics } from '../../../../agent/service/metrics/metrics.js';
import type { AgentStatus } from '../../../../agent/status.js';
import type { ModemCounters } from '../../../../agent/transport/transport.js';
import { VERSION } from '../../../../shared/version.js';
import { needs } from '../../../support/needs.js';
import { readMetrics } from '../../../support/prometheus.js';
import { openPeer, randomAddress } from '../../../support/udp.js';
import { managedAgent } from '../../support.js';

const MODEM: ModemCounters = {
  rungs: { socket: 0, context: 0, 'bring-up': 0, port: 0, airplane: 3, reset: 0, power: 0 },
  withheld: 1,
  portOpened: 2,
  dataUrcs: 40,
  dataUrcsLost: 5,
  polls: 60,
  discardedBytes: {
    ...{ noise: 9, 'not-text': 0, 'unknown-line': 0, 'bad-header': 0 },
    ...{ 'foreign-echo': 0, 'line-too-long': 0, incomplete: 0, 'not-hexadecimal': 0 },
  },
  discarded: 7,
};

/** An agent with a handler that fails and one that takes its time, and who may send to it. */
async function startAgent() {
  const peer = await openPeer();
  const device = { address: randomAddress(), port: 6969 };
  const agent = managedAgent({
    config: { listen: { address: device.address, receiveBufferBytes: 65_536 }, allow: [`${peer.endpoint.address}/32`] },
    handlers: [
      defineHandler({ name: 'fails', description: '', run: () => Promise.reject(new Error('no')) }),
      defineHandler({
        name: 'absent',
        description: '',
        run: () => Promise.reject(new NotStartedError(new Error('no'))),
      }),
      defineHandler({ name: 'slow', description: '', timeout: '100ms', run: () => new Promise(() => undefined) }),
    ],
  });
  await agent.start();
  onTestFinished(() => agent.stop());
  return { agent, peer, device };
}

const metricsOf = async (agent: Parameters<typeof renderMetrics>[0]) => readMetrics(await renderMetrics(agent));

describe.skipIf(needs('python3-prometheus-client'))('renderMetrics', () => {
  it('renders all families before and after the start, each of one type', async () => {
    const early = await metricsOf(managedAgent());
    expect(early.value('supersim_agent_build_info', { version: VERSION, node_version: process.version })).toBe(1);
    expect(early.value('supersim_agent_link_up')).toBeUndefined();
    const { families } = await metricsOf((await startAgent()).agent);
    for (const { name, type, samples } of families) {
      expect(name).toMatch(/^(supersim_agent|process)_[a-z_]+$/);
      for (const sample of samples) {
        if (type === 'counter') expect(sample.name).toBe(`${name}_total`);
        if (type === 'gauge') expect(sample.name).toBe(name);
      }
    }
  });

  it('counts received and sent datagrams, commands and durations', async () => {
    const { agent, peer, device } = await startAgent();
    const stranger = await openPeer();
    for (const command of ['#1 ping', '#2 ping', '#3 fails', '#4 slow', '#5 nope', '#3 fails', '#6 absent']) {
      await peer.ask(command, device);
    }
    await stranger.send('ping', device);
    await peer.send(Buffer.from([0xff, 0xff]), device);
    await agent.emit(Buffer.from('event')).catch(() => undefined);
    await vi.waitFor(() => expect(agent.status().counters).toMatchObject({ malformed: 1, refusedSource: 1 }));
    const { value } = await metricsOf(agent);
    const received = (result: string) => value('supersim_agent_datagrams_received_total', { transport: 'udp', result });
    expect([received('admitted'), received('source'), received('malformed'), received('empty')]).toEqual([7, 1, 1, 0]);
    expect(value('supersim_agent_received_bytes_total', { transport: 'udp' })).toBe(7 + 7 + 8 + 7 + 7 + 8 + 9 + 4 + 2);
    expect(value('supersim_agent_datagrams_sent_total', { transport: 'udp', result: 'sent' })).toBeGreaterThan(5);
    expect(value('supersim_agent_sent_bytes_total')).toBe(agent.status().counters.sentBytes);
    for (const limit of ['size', 'peer-rate', 'from-sim-rate']) {
      expect(value('supersim_agent_datagrams_held_back_total', { limit })).toBe(0);
    }

    const commands = (handler: string, outcome: string) => value('supersim_agent_commands_total', { handler, outcome });
    expect(commands('ping', 'done')).toBe(2);
    expect(commands('ping', 'failed')).toBe(0);
    expect(commands('fails', 'failed')).toBe(1);
    expect(commands('absent', 'refused')).toBe(1);
    const notStarted = (code: string) => value('supersim_agent_handlers_not_started_total', { code });
    expect([notStarted('handler-unavailable'), notStarted('busy')]).toEqual([1, 0]);
    expect(commands('slow', 'failed')).toBe(1);
    expect(commands('(other)', 'refused')).toBe(1);
    expect(value('supersim_agent_command_repeats_total')).toBe(1);

    const bucket = (handler: string, le: string) => value('supersim_agent_handler_run_seconds_bucket', { handler, le });
    expect(bucket('ping', '+Inf')).toBe(2);
    expect([bucket('slow', '0.1'), bucket('slow', '5')]).toEqual([0, 1]);
    expect(value('supersim_agent_handler_run_seconds_sum', { handler: 'slow' })).toBeGreaterThan(0.1);
    // What never ran has no times.
    expect(bucket('echo', '+Inf')).toBeUndefined();
    expect(value('supersim_agent_reply_seconds_count')).toBe(6);
    expect(value('supersim_agent_reply_seconds_sum')).toBeGreaterThan(0.1);
  });

  it('renders the queue, the journal, the outbox and the links', async () => {
    const { agent } = await startAgent();
    const status: AgentStatus = {
      ...agent.status(),
      running: 2,
      waiting: 3,
      kernelDrops: 4,
      journal: {
        ...{ persistent: true, writable: false, reason: 'EROFS', entries: 10, bytes: 2000, live: 1, remembered: 3000 },
        ...{ damaged: 1, lost: 2, rewritten: 3, restarted: 4 },
      },
      outbox: { entries: 5, bytes: 600, drops: { count: 1, bytes: 2, expired: 3 } },
      link: {
        name: 'modem',
        since: 0,
        switches: 7,
        links: [
          { name: 'modem', up: true, since: 0, modem: { registration: 'roaming', signalDbm: -71, counters: MODEM } },
          { name: 'udp', up: false, since: 0 },
        ],
      },
    };
    const { value } = await metricsOf({ status: () => status, meters: createMeters() });
    expect(
      [
        'commands_running',
        'commands_waiting',
        'kernel_drops_total',
        'journal_persistent',
        'journal_writable',
        'journal_commands',
        'journal_live_commands',
        'journal_remembered_commands',
        'journal_bytes',
        'journal_damaged_total',
        'journal_lost_total',
        'journal_rewritten_total',
        'journal_worker_restarts_total',
        'outbox_datagrams',
        'outbox_bytes',
        'link_switches_total',
        'modem_signal_dbm',
      ].map((name) => value(`supersim_agent_${name}`)),
    ).toEqual([2, 3, 4, 1, 0, 10, 1, 3000, 2000, 1, 2, 3, 4, 5, 600, 7, -71]);
    const drops = ['count', 'bytes', 'expired'].map((cause) => value('supersim_agent_outbox_drops_total', { cause }));
    expect(drops).toEqual([1, 2, 3]);
    expect(value('supersim_agent_link_up', { link: 'modem' })).toBe(1);
    expect(value('supersim_agent_link_up', { link: 'udp' })).toBe(0);
    expect(value('supersim_agent_link_in_use', { link: 'modem' })).toBe(1);
    expect(value('supersim_agent_modem_registration', { state: 'roaming' })).toBe(1);
    expect(value('supersim_agent_modem_registration', { state: 'home' })).toBe(0);
    expect(value('supersim_agent_datagrams_sent_total', { transport: 'modem', result: 'failed' })).toBe(0);
    expect(value('supersim_agent_modem_recoveries_total', { rung: 'airplane' })).toBe(3);
    expect(value('supersim_agent_modem_discarded_bytes_total', { reason: 'noise' })).toBe(9);
    expect(
      ['recoveries_withheld', 'port_opened', 'data_urcs', 'data_urcs_lost', 'polls'].map((name) =>
        value(`supersim_agent_modem_${name}_total`),
      ),
    ).toEqual([1, 2, 40, 5, 60]);
  });

  it('stays bounded and parsable for any command names', async () => {
    const { agent, peer, device } = await startAgent();
    const names = ['a"b', 'a\\b', 'a\nb', '{}', '__proto__', '', 'é\u2028', 'x'.repeat(200)];
    for (const [id, method] of names.entries()) await peer.ask(JSON.stringify({ method, id }), device);
    const meters = createMeters();
    meters.know(Array.from({ length: 300 }, (_, index) => `handler.${index}`));
    for (const { runs } of meters.handlers.values()) observe(runs, 1);
    const { value } = await metricsOf(agent);
    expect(value('supersim_agent_commands_total', { handler: '(other)', outcome: 'refused' })).toBe(names.length);
    const { length } = await renderMetrics({ status: agent.status, meters });
    expect(length).toBeLessThan(1_000_000);
  });

  it('renders process metrics', async () => {
    const { value } = await metricsOf(managedAgent());
    expect(value('process_resident_memory_bytes')).toBeGreaterThan(10 * 1024 * 1024);
    expect(value('process_heap_bytes')).toBeGreaterThan(1024 * 1024);
    expect(value('process_cpu_seconds_total')).toBeGreaterThan(0);
    expect(value('process_open_fds')).toBeGreaterThan(2);
    const age = Date.now() / 1000 - (value('process_start_time_seconds') ?? 0);
    expect(age).toBeGreaterThan(0);
    expect(age).toBeLessThan(process.uptime() + 60);
  });
});
