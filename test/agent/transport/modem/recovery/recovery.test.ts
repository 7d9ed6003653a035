import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { type ModemFault, ModemFaultError } from '../../../../../agent/transport/modem/at/script.js';
import { MAX_ATTACHES } from '../../../../../agent/transport/modem/recovery/ladder.js';
import { createRecovery } from '../../../../../agent/transport/modem/recovery/recovery.js';
import type { RadioPermit } from '../../../../../agent/transport/modem/scripts/bring-up.js';
import type { Rung } from '../../../../../agent/transport/transport.js';
import { recordingLog } from '../../../../support/log.js';

const MINUTE = 60_000;

beforeEach(() => void vi.useFakeTimers());
afterEach(() => void vi.useRealTimers());

/** The recovery of a link whose rungs do what they are told to. */
function recover({
  saved,
  perform = async () => undefined,
}: {
  saved?: unknown;
  perform?: (rung: Rung, permit: RadioPermit) => Promise<void>;
} = {}) {
  const recording = recordingLog();
  const done: Rung[] = [];
  const written: Readonly<Record<string, unknown>>[] = [];
  const wells: boolean[] = [];
  let may = true;
  const recovery = createRecovery(
    {
      perform: async (rung, permit) => {
        done.push(rung);
        await perform(rung, permit);
      },
      onHealthChange: (isHealthy) => void wells.push(isHealthy),
      file: { read: async () => undefined, write: async (members) => void written.push(members) },
      saved,
      mayInterrupt: () => may,
      pace: 1,
    },
    recording.log,
  );
  return {
    recovery,
    recording,
    done,
    written,
    wells,
    allow(allowed: boolean) {
      may = allowed;
      if (allowed) recovery.interruptionAllowed();
    },
  };
}

const fails = (fault: ModemFault) => async () => {
  throw new ModemFaultError(fault, 'because');
};

describe('a rung that interrupts the radio while UDP is in use', () => {
  it('is deferred and not counted, with a bring-up in its place, and performed once it is allowed', async () => {
    const link = recover({ perform: fails('context') });
    link.allow(false);
    link.recovery.report('context', 'dropped');
    await vi.advanceTimersByTimeAsync(30 * MINUTE);
    expect(new Set(link.done)).toEqual(new Set(['context', 'bring-up']));
    expect(link.recovery.counts()).toMatchObject({ airplane: 0, reset: 0 });
    expect(link.recovery.counts()['bring-up']).toBe(link.done.filter((rung) => rung === 'bring-up').length);
    expect(link.recovery.deferredCount()).toBeGreaterThan(0);
    expect(link.recording.lines.filter(({ message }) => message.includes('deferred while UDP is in use'))).not.toEqual(
      [],
    );
    link.allow(true);
    await vi.advanceTimersByTimeAsync(5 * MINUTE);
    expect(link.done).toContain('airplane');
    expect(link.done).toContain('reset');
  });

  it('is performed at once when it is allowed while a milder rung fails', async () => {
    let end: () => void = () => undefined;
    const perform = (rung: Rung) =>
      rung === 'bring-up'
        ? new Promise<void>((_, reject) => {
            end = () => reject(new ModemFaultError('context', 'in vain'));
          })
        : fails('context')();
    const link = recover({ perform });
    link.allow(false);
    link.recovery.report('context', 'dropped');
    // Each attach counts until something was withheld.
    await vi.advanceTimersByTimeAsync(2 * MINUTE);
    expect(link.done.at(-1)).toBe('bring-up');
    link.allow(true);
    expect(link.done.at(-1)).toBe('bring-up');
    end();
    await vi.advanceTimersByTimeAsync(2 * MINUTE);
    expect(link.done.slice(link.done.indexOf('bring-up'))).toContain('airplane');
  });

  it('is retried also where only settings were deferred', async () => {
    const link = recover({
      async perform(_rung, permit) {
        if (!permit.allowed()) throw new ModemFaultError('sim', 'nothing but a hand helps');
      },
    });
    link.allow(false);
    link.recovery.begin();
    await vi.advanceTimersByTimeAsync(MINUTE);
    expect(link.recovery.isHealthy()).toBe(false);
    link.allow(true);
    await vi.advanceTimersByTimeAsync(MINUTE);
    expect(link.recovery.isHealthy()).toBe(true);
  });
});

describe('the limit of attaches', () => {
  it('counts the attaches of a bring-up, also over restarts', async () => {
    let left = 0;
    let saved: unknown;
    for (let restart = 0; restart < 3 * MAX_ATTACHES; restart++) {
      const link = recover({
        saved,
        async perform(_rung, permit) {
          if (!permit.allowed()) return;
          permit.used();
          left++;
        },
      });
      link.recovery.begin();
      await vi.advanceTimersByTimeAsync(1000);
      expect(link.recovery.isHealthy()).toBe(true);
      saved = JSON.parse(JSON.stringify(Object.assign({}, ...link.written)));
      link.recovery.stop();
    }
    expect(left).toBe(MAX_ATTACHES);
  });
});

describe('the log of the recovery', () => {
  it('has each rung, and the reason and duration of long waits', async () => {
    const link = recover({ perform: fails('sim') });
    link.recovery.begin();
    await vi.advanceTimersByTimeAsync(MINUTE);
    expect(link.recording.withMessage('modem recovery waits').at(-1)).toMatchObject({
      level: 'warn',
      details: { why: 'rest', ms: expect.any(Number), trouble: 'sim', reason: 'because' },
    });
    const other = recover({ perform: fails('socket') });
    other.recovery.report('socket', 'closed');
    await vi.advanceTimersByTimeAsync(10 * MINUTE);
    const rungs = other.recording.withMessage('modem recovery').map(({ details }) => details['rung']);
    expect(new Set(rungs)).toEqual(new Set(['socket', 'context', 'airplane', 'reset', 'power']));
  });
});
