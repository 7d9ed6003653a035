import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { mkdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { onTestFinished } from 'vitest';
import { silentLog } from '../../agent/base/log.js';
import { systemClock } from '../../agent/base/moment.js';
import { createJournal } from '../../agent/command/journal/journal.js';
import type { Journal } from '../../agent/command/journal/types.js';
import { createPipeline, type Pipeline } from '../../agent/command/pipeline.js';
import { createRunner } from '../../agent/command/runner/runner.js';
import { createStats, type Stats } from '../../agent/command/stats/stats.js';
import { resolveConfig } from '../../agent/config/load.js';
import { parseKeyFile } from '../../agent/security/key-file.js';
import { createSecurity, type Security } from '../../agent/security/security.js';
import { WINDOW_FILE } from '../../agent/security/window-file.js';
import { openDatabase } from '../../agent/storage/database.js';
import type { Loopback, Sim } from '../../loopback/index.js';
import { DEVICE_PORT } from '../../shared/limits.js';
import { temporaryFolder } from './files.js';
import { countingHandlers } from './fleet.js';
import type { makeOperatorKeys } from './operator-keys.js';

/** What the devices of a fleet share: their commands differ, as each has a key of its own. */
interface Shared {
  readonly loopback: Loopback;
  readonly keys: Pick<ReturnType<typeof makeOperatorKeys>, 'fileText'>;
  readonly runs: string;
  readonly journal: Journal;
  readonly stats: Stats;
}

/** A device while it runs. */
interface Life {
  readonly pipeline: Pipeline;
  readonly security: Security;
}

/**
 * Starts a device for each SIM of a loopback: a socket on the SIM's address, an agent's pipeline, the SIM's key, and a
 * state folder with its sequence numbers. All have one journal, whose identity they do not tell. No window is known at
 * first, so that each device challenges the first request. They stop with the test.
 *
 * @param runs the file to which each run of `count.once` appends a line: see `readRuns`
 */
export async function startKeyedFleet(loopback: Loopback, keys: Shared['keys'], runs: string) {
  const database = await openDatabase({ folder: temporaryFolder(), clock: systemClock(), log: silentLog });
  const journal = createJournal(database, systemClock());
  await journal.recover(() => ({ code: 'interrupted', reply: undefined }));
  const stats = createStats(silentLog);
  const shared: Shared = { loopback, keys, runs, journal, stats };
  const devices = new Map<string, Awaited<ReturnType<typeof startDevice>>>();
  onTestFinished(async () => {
    await Promise.all([...devices.values()].map((device) => device.stop()));
    await database.close();
  });
  await Promise.all(
    loopback.sims.map(async (sim) => {
      devices.set(sim.uniqueName, await startDevice(shared, sim));
    }),
  );
  return {
    /** How many requests were denied, by the cause. */
    denied: stats.counters.denied,
    /** Restarts the devices of some SIMs, whose replay windows are lost. */
    async loseWindows(sims: readonly string[]): Promise<void> {
      await Promise.all(sims.map((sim) => devices.get(sim)?.loseWindow()));
    },
  };
}

async function startDevice(shared: Shared, sim: Sim) {
  const { address, port } = shared.loopback.gateway;
  const folder = join(temporaryFolder(), 'state');
  mkdirSync(folder, { mode: 0o700 });
  const socket = createSocket('udp4');
  let isClosed = false;
  let life: Life | undefined = await live();
  socket.bind(DEVICE_PORT, sim.address);
  await once(socket, 'listening');
  socket.on('message', (bytes, source) =>
    life?.pipeline.receive({ bytes, source, port: DEVICE_PORT, transport: 'udp', receivedAt: performance.now() }),
  );

  async function live(): Promise<Life> {
    const config = resolveConfig({ gateway: { address, port }, allow: ['127.0.0.0/8'], state: { folder } });
    const loaded = { keys: [parseKeyFile('ops', shared.keys.fileText(sim))], problems: [] };
    const security = createSecurity({ config, loaded, isSynchronized: async () => true, log: silentLog });
    security.open();
    await security.whenReady();
    const runner = createRunner(config.limits, { deviceId: sim.iccid, log: silentLog, emit: async () => undefined });
    const pipeline = createPipeline({
      config,
      registry: countingHandlers(shared.runs, () => sim.uniqueName),
      submit: runner.submit,
      journal: shared.journal,
      send({ bytes, destination }) {
        if (!isClosed) socket.send(bytes, destination.port, destination.address);
      },
      security,
      stats: shared.stats,
      log: silentLog,
    });
    return { pipeline, security };
  }

  async function end(): Promise<void> {
    const ended = life;
    life = undefined;
    ended?.pipeline.stop();
    await ended?.security.stop();
  }

  return {
    async loseWindow(): Promise<void> {
      await end();
      rmSync(join(folder, WINDOW_FILE), { force: true });
      life = await live();
    },
    async stop(): Promise<void> {
      await end();
      isClosed = true;
      socket.close();
    },
  };
}
