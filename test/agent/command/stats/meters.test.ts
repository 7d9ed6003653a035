import { describe, expect, it } from 'vitest';
import { silentLog } from '../../../../agent/base/log.js';
import { BOUNDS, createMeters, observe } from '../../../../agent/command/stats/meters.js';
import { createStats } from '../../../../agent/command/stats/stats.js';
import { defineHandler } from '../../../../agent/handlers/handler.js';
import { startPipeline } from '../../../support/pipeline.js';

describe('the meters', () => {
  it('count names that no handler has together, and so handlers above the bound', () => {
    const stats = createStats(silentLog);
    const { meters } = stats;
    meters.know(['ping', 'echo']);
    meters.know(Array.from({ length: 1000 }, (_, index) => `handler.${index}`));
    expect(meters.handlers.size).toBe(256);
    for (const name of ['nope', '__proto__', undefined, 'handler.999', 'ping']) {
      stats.ended(
        { peer: 'gateway', source: { address: '100.64.0.1' }, transport: 'udp', format: 'text' },
        { id: 1, name, reply: { result: 1 }, milliseconds: 1 },
      );
    }
    expect(meters.others.outcomes.done).toBe(4);
    expect([meters.handlers.get('ping')?.outcomes.done, meters.handlers.get('echo')?.outcomes.done]).toEqual([1, 0]);
  });

  it('keep what they have of a handler that is made known again', () => {
    const stats = createStats(silentLog);
    stats.meters.know(['ping']);
    stats.ran('ping', 1);
    stats.meters.know(['ping', 'echo']);
    expect(stats.meters.handlers.get('ping')?.runs.sum).toBe(0.001);
  });

  it('count no datagram for a transport that is none', () => {
    const stats = createStats(silentLog);
    const source = { address: '127.0.0.1', port: 1 };
    stats.admitted({ bytes: Buffer.alloc(1), source, port: 1, transport: 'probe', receivedAt: 0 }, 'text');
    const { udp, modem } = stats.meters.transports;
    expect(udp.received.admitted + modem.received.admitted).toBe(0);
  });

  it('put each time into the bucket whose bound it does not pass', () => {
    const { replies } = createMeters();
    for (const milliseconds of [0, 1, 1.001, 24, 25, 300_000, 300_001, 1e9]) observe(replies, milliseconds);
    const expected = new Array<number>(BOUNDS.length + 1).fill(0);
    expected.splice(0, 3, 2, 1, 2);
    expected.splice(-2, 2, 1, 2);
    expect([...replies.counts]).toEqual(expected);
    expect(replies.sum).toBeCloseTo((1 + 1.001 + 24 + 25 + 300_000 + 300_001 + 1e9) / 1000, 5);
  });
});

describe('the pipeline', () => {
  it('measures what becomes of datagrams, of commands, and how long their replies took', () => {
    const { meters, receive, answers } = startPipeline({ transport: 'udp' });
    answers('#1 ping');
    answers('#2 nope');
    answers('[{"method":"ping","id":1},{"method":"ping"}]');
    receive('', { address: '100.64.0.1', port: 1 });
    receive('ping', { address: '8.8.8.8', port: 1 });
    receive(Buffer.alloc(1301, 'x'));
    receive(Buffer.from([0xff, 0xff]));
    // A CoAP message whose token is cut off.
    receive(Buffer.from([0x48, 0x01, 0x00, 0x01]));
    expect(meters.transports.udp.received).toEqual({
      admitted: 3,
      source: 1,
      empty: 1,
      oversize: 1,
      overload: 0,
      malformed: 2,
    });
    expect(meters.transports.udp.receivedBytes).toBe(7 + 7 + 44 + 0 + 4 + 1301 + 2 + 4);
    expect(meters.handlers.get('ping')?.outcomes).toEqual({ done: 3, failed: 0, refused: 0, interrupted: 0 });
    expect(meters.others.outcomes).toEqual({ done: 0, failed: 0, refused: 1, interrupted: 0 });
    const total = (counts: Float64Array) => counts.reduce((sum, count) => sum + count, 0);
    expect(total(meters.replies.counts)).toBe(3);
    expect(total(meters.handlers.get('ping')?.runs.counts ?? new Float64Array())).toBe(3);
  });

  it('measures commands in CoAP the same way, and no repeats, but each run of what may run twice', () => {
    const handlers = [defineHandler({ name: 'once', description: '', run: () => 'ran' })];
    const { meters, counters, answers } = startPipeline({ transport: 'modem', handlers });
    const post = (name: string) =>
      Buffer.concat([Buffer.from([0x41, 0x02, 0x00, 0x01, 0xaa, 0xb4]), Buffer.from(name)]);
    for (const name of ['once', 'ping']) {
      const [first] = answers(post(name));
      expect(answers(post(name))).toEqual([first]);
    }
    expect(meters.transports.modem.received.admitted).toBe(4);
    expect(meters.handlers.get('once')?.outcomes.done).toBe(1);
    expect(meters.handlers.get('ping')?.outcomes.done).toBe(2);
    expect(counters.repeats).toBe(1);
    expect(meters.replies.counts.reduce((sum, count) => sum + count, 0)).toBe(3);
  });
});
