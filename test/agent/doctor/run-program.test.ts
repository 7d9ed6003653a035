import { expect, it } from 'vitest';
import { runProgram } from '../../../agent/doctor/run-program.js';

it('runProgram bounds an external program’s time and output, and reports a missing program', async () => {
  const began = performance.now();
  expect(await runProgram('sleep', ['30'], { timeoutMs: 200 })).toMatchObject({
    failed: expect.stringContaining('0.2 s'),
  });
  expect(performance.now() - began).toBeLessThan(10_000);
  const { stdout, failed } = await runProgram('yes', [], { maxBytes: 4096, timeoutMs: 5000 });
  expect(failed).toBeUndefined();
  expect(stdout.length).toBeLessThanOrEqual(4096);
  expect(await runProgram('no-such-program', [])).toMatchObject({ missing: true });
  expect(await runProgram('sh', ['-c', 'echo out; echo why >&2; exit 3'])).toEqual({
    stdout: 'out\n',
    failed: 'sh: why',
  });
  // It gets nothing on its stdin, and so does not wait for it.
  expect(await runProgram('cat', [])).toEqual({ stdout: '' });
});
