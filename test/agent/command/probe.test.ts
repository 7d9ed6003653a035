import { describe, expect, it, onTestFinished, vi } from 'vitest';
import { silentLog } from '../../../agent/base/log.js';
import { createDuplicateTable } from '../../../agent/command/dedup/duplicate-table.js';
import { probe } from '../../../agent/command/probe.js';
import { createRunner } from '../../../agent/command/runner/runner.js';
import { createCounters } from '../../../agent/command/stats/counters.js';
import type { ConfigInput } from '../../../agent/config/schema.js';
import { ping } from '../../../agent/handlers/builtin/ping.js';
import { compileHandler } from '../../../agent/handlers/registry.js';
import { recordingLog } from '../../support/log.js';
import { startPipeline } from '../../support/pipeline.js';
import { openTestJournal } from './journal/support.js';
import { heldHandler } from './wired-support.js';

/** A runner of the probe's own, as the agent has it. */
function ownPlace() {
  const surroundings = { deviceId: 'test', log: silentLog, emit: async () => undefined };
  return createRunner({ running: 1, waiting: 0, waitingBytes: 0 }, surroundings).submit;
}

describe('the probe', () => {
  it('comes back, and leaves no trace: nothing is sent, counted, logged or journalled', async () => {
    const { log, lines } = recordingLog();
    const { journal } = await openTestJournal(undefined);
    const { pipeline, counters, recent, sent } = startPipeline({ log, journal });
    await pipeline.probe(ownPlace());
    expect({ sent, counters }).toEqual({ sent: [], counters: createCounters() });
    expect(recent).toMatchObject({ command: undefined, sent: undefined });
    expect(lines).toEqual([]);
    expect(journal.size).toMatchObject({ entries: 0 });
  });

  it.each<[string, ConfigInput]>([
    ['one range of IPv4', { allow: ['192.168.7.0/24'] }],
    ['one address of IPv6', { allow: ['2001:db8::7/128'], gateway: { address: '2001:db8::7', port: 6969 } }],
    ['a port pinned to CoAP', { listen: { ports: [{ port: 6969, format: 'coap' }] } }],
    ['a raw port', { listen: { ports: [{ port: 6969, format: 'raw', handler: 'hold' }] } }],
  ])('comes back and runs no handler but ping, with %s', async (_what, config) => {
    const held = heldHandler();
    const { pipeline } = startPipeline({ config, handlers: [held.handler] });
    await pipeline.probe(ownPlace());
    expect(held.called).toEqual([]);
  });

  it('comes back while all places are taken and the queue is full', async () => {
    const held = heldHandler();
    const { pipeline, receive, runner, answers } = startPipeline({
      config: { limits: { running: 1, waiting: 1 } },
      handlers: [held.handler],
    });
    receive('#1 hold');
    receive('#2 hold');
    expect(String(answers('#3 hold'))).toMatch(/^#3 error busy /);
    await pipeline.probe(ownPlace());
    expect({ running: runner.running, waiting: runner.waiting }).toEqual({ running: 1, waiting: 1 });
  });

  it('fails when the table of handlers has no ping, or throws', async () => {
    const { pipeline, registry } = startPipeline();
    registry.delete('ping');
    await expect(pipeline.probe(ownPlace())).rejects.toMatchObject({ code: 'probe-failed' });
    registry.get = () => {
      throw new Error('broken');
    };
    await expect(pipeline.probe(ownPlace())).rejects.toThrow('broken');
  });

  it('fails when commands are refused although what is remembered of earlier ones has expired', async () => {
    const duplicates = { ...createDuplicateTable(), isClogged: () => true };
    const rest = { registry: new Map(), submit: ownPlace(), maxBytes: () => 1300, refusalOf: () => undefined };
    await expect(probe({ ...rest, duplicates, source: '100.64.0.1' })).rejects.toMatchObject({
      code: 'probe-failed',
      message: expect.stringContaining('have expired'),
    });
  });

  it('does not come back when the table of handlers hangs; when its time is up it fails', async () => {
    vi.useFakeTimers();
    onTestFinished(() => void vi.useRealTimers());
    const { pipeline, registry } = startPipeline();
    registry.set('ping', { ...compileHandler(ping), run: () => new Promise(() => undefined) });
    const own = ownPlace();
    let ended: string | undefined;
    const first = pipeline.probe(own).catch((error: Error) => {
      ended = error.message;
    });
    await vi.advanceTimersByTimeAsync(29_000);
    expect(ended).toBeUndefined();
    // The place is its own, and there is just the one.
    await expect(pipeline.probe(own)).rejects.toThrow('busy');
    await vi.advanceTimersByTimeAsync(2000);
    await first;
    expect(ended).toContain('handler-timeout');
  });
});
