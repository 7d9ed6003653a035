import { describe, expect, it, onTestFinished, vi } from 'vitest';
import { silentLog } from '../../../../agent/base/log.js';
import { createRunner } from '../../../../agent/command/runner/runner.js';
import type { RunLimits, StartGate } from '../../../../agent/command/runner/task.js';
import type { EndsWith, Handler } from '../../../../agent/handlers/handler.js';
import type { Reply } from '../../../../shared/command.js';
import { SupersimError } from '../../../../shared/errors.js';
import { deferred } from '../../../support/deferred.js';

/** A runner whose tasks have their start written when the test says so; all that happens, in order. */
function start(limits: Partial<RunLimits> = {}) {
  const runner = createRunner(
    { running: 2, waiting: 10, waitingBytes: 10_000, ...limits },
    { deviceId: 'box', log: silentLog, emit: async () => undefined },
  );
  const events: string[] = [];
  const writes = new Map<string, (error?: SupersimError) => void>();
  const ends = new Map<string, (result: unknown) => void>();

  function submit(name: string, { journalled = true, endsWith }: { journalled?: boolean; endsWith?: EndsWith } = {}) {
    const { promise, resolve } = deferred<unknown>();
    ends.set(name, resolve);
    const handler: Handler = {
      name,
      description: '',
      safe: false,
      idempotent: false,
      timeoutMs: 60_000,
      endsWith,
      usage: '',
      bind: () => ({ value: undefined }),
      run() {
        events.push(`${name} runs`);
        return promise;
      },
    };
    const before: StartGate = {
      key: Buffer.from(name),
      accept: () => void events.push(`${name} accepted`),
      start: (run) => void writes.set(name, run),
    };
    const command = { name, params: { positional: [], named: {} }, format: 'text', peer: 'gateway' } as const;
    const done = (reply: Reply) =>
      void events.push(`${name} ${'error' in reply ? reply.error.code : String(reply.result)}`);
    runner.submit({
      command,
      holder: 'one',
      handler,
      params: undefined,
      bytes: 10,
      startGate: journalled ? before : undefined,
      done,
    });
  }

  return {
    runner,
    events,
    submit,
    startsBeingWritten: () => [...writes.keys()],
    written(name: string, error?: SupersimError): void {
      const run = writes.get(name);
      writes.delete(name);
      run?.(error);
    },
    async end(name: string): Promise<void> {
      ends.get(name)?.('ok');
      await new Promise((resolve) => setImmediate(resolve));
    },
  };
}

describe('a command whose start has to be written', () => {
  it('holds no place while that is being done, and runs only then', async () => {
    const { runner, submit, events, written, startsBeingWritten, end } = start();
    for (const name of ['a', 'b', 'c', 'd']) submit(name);
    expect([runner.running, runner.waiting, startsBeingWritten()]).toEqual([0, 4, ['a', 'b']]);
    submit('e', { journalled: false });
    // Only what waits for a place is accepted first.
    expect(events).toEqual(['c accepted', 'd accepted', 'e runs']);
    expect([runner.running, runner.waiting]).toEqual([1, 4]);
    events.length = 0;
    written('b');
    written('a');
    expect(events).toEqual(['b runs']);
    expect([runner.running, runner.waiting, startsBeingWritten()]).toEqual([2, 3, []]);
    await end('e');
    expect(events).toEqual(['b runs', 'e ok', 'a runs']);
    await end('b');
    expect(startsBeingWritten()).toEqual(['c']);
    written('c');
    await end('a');
    written('d');
    for (const name of ['c', 'd']) await end(name);
    expect(events.slice(3)).toEqual(['b ok', 'c runs', 'a ok', 'd runs', 'c ok', 'd ok']);
    expect([runner.running, runner.waiting]).toEqual([0, 0]);
  });

  it('is refused as busy when it cannot be written, and its place goes to the next', async () => {
    const { runner, submit, events, written, startsBeingWritten, end } = start({ running: 1 });
    for (const name of ['a', 'b', 'c']) submit(name);
    written('a', new SupersimError('busy', 'the disk is full'));
    expect(startsBeingWritten()).toEqual(['b']);
    written('b', new SupersimError('busy', 'the disk is full'));
    written('c');
    await end('c');
    expect(events).toEqual(['b accepted', 'c accepted', 'a busy', 'b busy', 'c runs', 'c ok']);
    expect([runner.running, runner.waiting]).toEqual([0, 0]);
  });

  it('that is refused for want of room is not accepted before', () => {
    const { submit, events } = start({ running: 1, waiting: 1 });
    for (const name of ['a', 'b', 'c']) submit(name);
    expect(events).toEqual(['b accepted', 'c busy']);
  });

  it('is not cancelled any more', () => {
    const { runner, submit, events } = start({ running: 1 });
    submit('a');
    submit('b');
    const named = (wanted: string) => runner.cancel(({ command }) => command.name === wanted);
    expect([named('a'), named('b'), named('b')]).toEqual([false, true, false]);
    expect(events).toEqual(['b accepted', 'b cancelled']);
  });

  it('is one of many at once where commands are quick', async () => {
    const { submit, startsBeingWritten, written, end, runner } = start({ waiting: 100 });
    for (let run = 0; run < 40; run++) {
      submit('quick', { journalled: false });
      await end('quick');
    }
    const names = Array.from({ length: 12 }, (_, index) => `${index}`);
    for (const name of names) submit(name);
    expect(startsBeingWritten()).toEqual(names);
    // Still no more run at once than there are places.
    for (const name of names) written(name);
    expect([runner.running, runner.waiting]).toEqual([2, 10]);
    for (const name of names) await end(name);
    expect([runner.running, runner.waiting]).toEqual([0, 0]);
  });

  it('is one of as many as there are places where commands are slow', async () => {
    vi.useFakeTimers({ toFake: ['performance'] });
    onTestFinished(() => void vi.useRealTimers());
    const { submit, startsBeingWritten, end } = start({ waiting: 100 });
    for (let run = 0; run < 40; run++) {
      submit('slow', { journalled: false });
      vi.advanceTimersByTime(1000);
      await end('slow');
    }
    for (let index = 0; index < 12; index++) submit(`${index}`);
    expect(startsBeingWritten()).toEqual(['0', '1']);
  });
});

describe('a command whose start need not be written', () => {
  it('runs at once beside many whose start is being written, or who wait for that', async () => {
    const { submit, events, end, runner } = start({ waiting: 1000 });
    for (let index = 0; index < 500; index++) submit(`${index}`);
    events.length = 0;
    submit('ping', { journalled: false });
    await end('ping');
    expect(events).toEqual(['ping runs', 'ping ok']);
    expect([runner.running, runner.waiting]).toEqual([0, 500]);
  });
});

describe('stopping while a start is being written', () => {
  it('does not wait for it, does not run the command, and says so', async () => {
    const { runner, submit, events, written } = start({ running: 1 });
    submit('a');
    submit('b');
    await runner.stop(10_000);
    expect([runner.running, runner.waiting]).toEqual([0, 1]);
    written('a');
    expect(events).toEqual(['b accepted', 'b busy', 'a busy']);
    expect([runner.running, runner.waiting]).toEqual([0, 0]);
  });

  it('refuses what waits for a place with its start on the disk', async () => {
    const { runner, submit, events, written, end } = start({ running: 1 });
    submit('a');
    submit('b', { journalled: false });
    written('a');
    const stop = runner.stop(10_000);
    await end('b');
    await stop;
    expect(events).toEqual(['b runs', 'a busy', 'b ok']);
  });

  it('does not end the agent a second time', async () => {
    const { runner, submit, events, written } = start();
    submit('restart', { endsWith: 'process' });
    const stop = runner.stop(10_000);
    written('restart');
    await stop;
    expect(events).toEqual(['restart busy']);
  });
});
