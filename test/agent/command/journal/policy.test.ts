import { describe, expect, it } from 'vitest';
import { acceptedEntry, startedEntry } from '../../../../agent/command/journal/entry.js';
import { type Decision, decideRecovery, RECOVERY_AGE_MS } from '../../../../agent/command/journal/policy.js';
import { command } from './support.js';

const RECEIVED = { wall: 1_800_000_000_000, monotonic: 1_000_000, boot: 'a' };
const sameBoot = (ms: number) => ({ ...RECEIVED, wall: RECEIVED.wall + ms, monotonic: RECEIVED.monotonic + ms });
const nextBoot = (wallMs: number, uptime = 20_000) => ({
  wall: RECEIVED.wall + wallMs,
  monotonic: uptime,
  boot: 'b',
});
const MINUTE = 60_000;
const deadline = (ms: number) => RECEIVED.wall + ms;

function entry({ runs = 0, idempotent = false, deadline = null }: Partial<Case>) {
  let one = acceptedEntry(command(1, { idempotent, deadline }), 1, RECEIVED);
  for (let run = 0; run < runs; run++) one = startedEntry(one, RECEIVED);
  return one;
}

interface Case {
  readonly what: string;
  readonly runs?: number;
  readonly idempotent?: boolean;
  readonly deadline?: number | null;
  readonly now: ReturnType<typeof sameBoot>;
  readonly becomes: Decision;
}

const CASES: readonly Case[] = [
  { what: 'started', runs: 1, now: sameBoot(10), becomes: 'interrupt' },
  { what: 'started, another boot', runs: 1, now: nextBoot(MINUTE), becomes: 'interrupt' },
  { what: 'started, idempotent', runs: 1, idempotent: true, now: sameBoot(10), becomes: 'run' },
  { what: 'started, idempotent, long ago', runs: 1, idempotent: true, now: nextBoot(1e9), becomes: 'run' },
  {
    what: 'started, idempotent, past its deadline',
    runs: 1,
    idempotent: true,
    deadline: deadline(MINUTE),
    now: sameBoot(MINUTE),
    becomes: 'interrupt',
  },
  { what: 'started twice, idempotent', runs: 2, idempotent: true, now: sameBoot(10), becomes: 'interrupt' },
  { what: 'accepted', now: sameBoot(10), becomes: 'run' },
  { what: 'accepted, idempotent', idempotent: true, now: sameBoot(10), becomes: 'run' },
  { what: 'accepted just under 5 minutes ago', now: sameBoot(RECOVERY_AGE_MS - 1), becomes: 'run' },
  { what: 'accepted 5 minutes ago', now: sameBoot(RECOVERY_AGE_MS), becomes: 'expire' },
  { what: 'accepted 2 minutes ago, another boot', now: nextBoot(2 * MINUTE), becomes: 'run' },
  { what: 'accepted days ago', now: nextBoot(3 * 24 * 60 * MINUTE), becomes: 'expire' },
  { what: 'accepted, a boot that lasts for 5 minutes', now: nextBoot(0, RECOVERY_AGE_MS), becomes: 'expire' },
  { what: 'accepted, the clock back at the boot', now: nextBoot(-1), becomes: 'expire' },
  { what: 'accepted, the clock at 1970', now: { wall: 0, monotonic: 5000, boot: 'b' }, becomes: 'expire' },
  { what: 'accepted, the clock back within the boot', now: { ...sameBoot(10), wall: 0 }, becomes: 'run' },
  { what: 'accepted, the clock ahead within the boot', now: { ...sameBoot(10), wall: 9e12 }, becomes: 'run' },
  { what: 'accepted before its deadline', deadline: deadline(60 * MINUTE), now: sameBoot(59 * MINUTE), becomes: 'run' },
  { what: 'accepted, at its deadline', deadline: deadline(MINUTE), now: sameBoot(MINUTE), becomes: 'expire' },
  {
    what: 'accepted, the clock back, its time is over',
    deadline: deadline(MINUTE),
    now: { ...sameBoot(MINUTE), wall: RECEIVED.wall - 1e9 },
    becomes: 'expire',
  },
  {
    what: 'accepted, the clock ahead of its deadline',
    deadline: deadline(MINUTE),
    now: { ...sameBoot(10), wall: RECEIVED.wall + MINUTE },
    becomes: 'expire',
  },
  {
    what: 'accepted with a deadline, the clock back at the boot',
    deadline: deadline(60 * MINUTE),
    now: nextBoot(-MINUTE),
    becomes: 'expire',
  },
];

describe('after a crash a command', () => {
  it.each(CASES)('$what becomes $becomes', ({ now, becomes, ...given }) =>
    expect(decideRecovery(entry(given), now)).toBe(becomes),
  );
});
