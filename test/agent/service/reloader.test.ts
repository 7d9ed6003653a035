import { expect, it } from 'vitest';
import { resolveConfig } from '../../../agent/config/load.js';
import type { Reloaded } from '../../../agent/reload.js';
import { createReloader } from '../../../agent/service/reloader.js';
import { SupersimError } from '../../../shared/errors.js';
import { deferred } from '../../support/deferred.js';
import { recordingLog } from '../../support/log.js';

const NOTHING: Reloaded = { changed: [], needsRestart: [], modules: [] };

it('createReloader runs one reload at a time, and calls share a waiting one', async () => {
  const gates = Array.from({ length: 3 }, () => deferred<void>());
  let reads = 0;
  let reloading = 0;
  let most = 0;
  const { log } = recordingLog();
  const reload = createReloader({
    agent: {
      async reload() {
        most = Math.max(most, ++reloading);
        await gates[reads - 1]?.promise;
        reloading--;
        return NOTHING;
      },
    },
    read: async () => {
      reads++;
      return resolveConfig({});
    },
    onReloaded: () => undefined,
    log,
  });
  const first = reload();
  await expect.poll(() => reads).toBe(1);
  const others = Array.from({ length: 1000 }, reload);
  expect(new Set(others).size).toBe(1);
  expect(reads).toBe(1);
  gates[0]?.resolve();
  await first;
  await expect.poll(() => reads).toBe(2);
  const last = reload();
  expect(last).not.toBe(others[0]);
  gates[1]?.resolve();
  gates[2]?.resolve();
  await Promise.all([...others, last]);
  expect([reads, most]).toEqual([3, 1]);
});

it('createReloader logs each result, and continues after a failure', async () => {
  const { log, lines } = recordingLog();
  const failures: unknown[] = [new SupersimError('config-invalid', 'line 3'), new SupersimError('busy', 'stopping')];
  const taken: string[] = [];
  const reload = createReloader({
    agent: { reload: async () => ({ ...NOTHING, needsRestart: ['listen.ports'] }) },
    async read() {
      const failure = failures.shift();
      if (failure !== undefined) throw failure;
      return resolveConfig({ log: { level: 'debug' } });
    },
    onReloaded: (config) => void taken.push(config.log.level),
    log,
  });
  await expect(reload()).rejects.toMatchObject({ code: 'config-invalid', message: 'line 3' });
  await expect(reload()).rejects.toMatchObject({ code: 'busy' });
  expect(taken).toEqual([]);
  expect(await reload()).toMatchObject({ needsRestart: ['listen.ports'] });
  expect(taken).toEqual(['debug']);
  expect(lines).toMatchObject([
    { level: 'error', details: { code: 'config-invalid', error: 'line 3' } },
    { level: 'error', details: { code: 'busy' } },
    { level: 'warn', details: { needsRestart: ['listen.ports'] } },
  ]);
  expect(String(lines[0]?.details['remedy'])).toContain('keeps its present configuration');
});
