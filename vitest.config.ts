import { availableParallelism } from 'node:os';
import { join } from 'node:path';
import { configDefaults, defineConfig } from 'vitest/config';
import { BaseSequencer, type TestSpecification } from 'vitest/node';
import { workerSourceForVite } from './scripts/worker-source.mjs';

/** Needs what not each machine has, or takes long: systemd in a box, packages, soaks. */
const SYSTEM = 'test/system/**/*.test.ts';

/** The stories of modems wait for minutes: started last, they would be all that still runs. */
const LONG = /\/test\/agent\/transport\/modem\/(?:dialects\/|modem-transport\.)/;

class LongestFirst extends BaseSequencer {
  override async sort(files: TestSpecification[]): Promise<TestSpecification[]> {
    const sorted = await super.sort(files);
    const isLong = ({ moduleId }: TestSpecification) => LONG.test(moduleId);
    return [...sorted.filter(isLong), ...sorted.filter((file) => !isLong(file))];
  }
}

/** With TEST_REPORTS=FOLDER each run leaves its figures there, for scripts/count-tests.mjs. */
const { TEST_REPORTS: folder } = process.env;

export default defineConfig({
  plugins: [workerSourceForVite()],
  test: {
    // Most tests wait more than they work.
    maxWorkers: availableParallelism() * 2,
    // A slow machine must not fail what a fast one passes: only what hangs takes these times.
    testTimeout: 45_000,
    hookTimeout: 60_000,
    expect: { poll: { timeout: 20_000 } },
    unstubEnvs: true,
    sequence: { sequencer: LongestFirst },
    reporters:
      folder === undefined ? ['default'] : ['default', ['json', { outputFile: join(folder, `${process.pid}.json`) }]],
    projects: [
      {
        extends: true,
        test: { name: 'quick', include: ['test/**/*.test.ts'], exclude: [...configDefaults.exclude, SYSTEM] },
      },
      {
        extends: true,
        test: { name: 'system', include: [SYSTEM], testTimeout: 120_000 },
      },
    ],
  },
});
