import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { createInterface } from 'node:readline';
import { describe, expect, it, onTestFinished } from 'vitest';
import { killBeforeAgent } from '../../../agent/base/oom-score.js';

/** A program that has started others before anybody could look at it, by their PIDs; gone with the test. */
async function startFamily(): Promise<number[]> {
  const script = "sh -c 'sleep 100 & echo $$ $!; wait' & echo $$; wait";
  const child = spawn('sh', ['-c', script], { stdio: ['ignore', 'pipe', 'ignore'], detached: true });
  const { pid } = child;
  if (pid === undefined) throw new Error('it was not started');
  onTestFinished(async () => {
    process.kill(-pid, 'SIGKILL');
    await once(child, 'close');
  });
  const pids: number[] = [];
  for await (const line of createInterface({ input: child.stdout })) {
    pids.push(...line.split(' ').map(Number));
    if (pids.length === 3) break;
  }
  return pids;
}

const scoreOf = (pid: number) => Number(readFileSync(`/proc/${pid}/oom_score_adj`, 'utf8'));

describe.skipIf(process.platform !== 'linux')('a program that is to be killed before the agent', () => {
  it('gets a higher score, and so does what it has already started', async () => {
    const pids = await startFamily();
    const own = scoreOf(process.pid);
    expect(pids.map(scoreOf)).toEqual([own, own, own]);
    killBeforeAgent(Math.min(...pids));
    expect(pids.map(scoreOf)).toEqual([500, 500, 500]);
    expect(scoreOf(process.pid)).toBe(own);
  });

  it('may have ended', () => {
    expect(() => killBeforeAgent(2 ** 22 + 1)).not.toThrow();
  });
});
