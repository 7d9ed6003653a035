import { randomInt, randomUUID } from 'node:crypto';
import { createSocket, type Socket } from 'node:dgram';
import { once } from 'node:events';
import { appendFileSync, existsSync, readFileSync } from 'node:fs';
import { onTestFinished } from 'vitest';
import * as z from 'zod';
import { silentLog } from '../../agent/base/log.js';
import { createPipeline } from '../../agent/command/pipeline.js';
import { createRunner } from '../../agent/command/runner/runner.js';
import { createStats } from '../../agent/command/stats/stats.js';
import { resolveConfig } from '../../agent/config/load.js';
import { ping } from '../../agent/handlers/builtin/ping.js';
import { defineHandler } from '../../agent/handlers/handler.js';
import { addHandler, compileHandler, type Registry } from '../../agent/handlers/registry.js';
import { NO_KEYS } from '../../agent/security/key-folder.js';
import { createSecurity } from '../../agent/security/security.js';
import type { Loopback, SimInput } from '../../loopback/index.js';
import { DEVICE_PORT } from '../../shared/limits.js';

const NETS = 248;
let nets = randomInt(NETS);

/** Generates up to 65,000 SIMs, each with a loopback address of its own. */
export function fleetSims(count: number): SimInput[] {
  const net = 2 + (nets++ % NETS);
  const address = (host: number) => `127.${net}.${host >> 8}.${host & 0xff}`;
  return Array.from({ length: count }, (_, index) => ({ name: `gateway-${index + 1}`, address: address(index + 1) }));
}

/**
 * Starts a device for each SIM of a loopback: a socket on the SIM's address. All share one pipeline of an agent without
 * a journal, which tells the devices apart by their addresses, as peers. Each run of the handler `count.once`, which is
 * not idempotent, appends a line to a file: the SIM and the reply. They stop with the test.
 */
export async function startFleet(loopback: Loopback, file: string): Promise<void> {
  const config = resolveConfig({ allow: ['127.0.0.0/8'] });
  const sockets = new Map<string, Socket>();
  const runner = createRunner(config.limits, { deviceId: 'fleet', log: silentLog, emit: async () => undefined });
  const { port, address } = loopback.gateway;
  const pipeline = createPipeline({
    config,
    registry: handlers(loopback, file),
    submit: runner.submit,
    // A reply to a device's address is sent from that address.
    send: ({ bytes, destination }) => sockets.get(destination.address)?.send(bytes, port, address),
    security: createSecurity({
      config,
      loaded: NO_KEYS,
      isSynchronized: async () => true,
      log: silentLog,
    }),
    stats: createStats(silentLog),
    log: silentLog,
  });
  onTestFinished(() => {
    for (const socket of sockets.values()) socket.close();
    pipeline.stop();
  });
  for (const sim of loopback.sims) {
    const socket = createSocket('udp4');
    sockets.set(sim.address, socket);
    socket.bind(DEVICE_PORT, sim.address);
    await once(socket, 'listening');
    const source = { address: sim.address, port: DEVICE_PORT };
    socket.on('message', (bytes) =>
      pipeline.receive({ bytes, source, port: DEVICE_PORT, transport: 'udp', receivedAt: performance.now() }),
    );
  }
}

function handlers({ sims }: Loopback, file: string): Registry {
  const nameOf = new Map(sims.map(({ uniqueName, address }) => [`${address}:${DEVICE_PORT}`, uniqueName]));
  return countingHandlers(file, (peer) => nameOf.get(peer));
}

/**
 * Makes `ping` and `count.once`, which appends a line to a file at each run: the SIM and the reply.
 *
 * @param simOf returns the SIM's name of the peer that a command came from
 */
export function countingHandlers(file: string, simOf: (peer: string) => string | undefined): Registry {
  const registry: Registry = new Map();
  const count = defineHandler({
    name: 'count.once',
    description: 'Records that it ran',
    params: z.object({ text: z.string().optional() }),
    run(_, { command: { peer } }) {
      const word = randomUUID();
      appendFileSync(file, `${simOf(peer)} ${word}\n`);
      return word;
    },
  });
  for (const definition of [ping, count]) addHandler(registry, compileHandler(definition));
  return registry;
}

/** Reads the replies of each SIM's runs. */
export function readRuns(file: string): Map<string, string[]> {
  const runs = new Map<string, string[]>();
  const lines = existsSync(file) ? readFileSync(file, 'utf8').trimEnd().split('\n') : [];
  for (const line of lines) {
    const [sim = '', word = ''] = line.split(' ');
    runs.set(sim, [...(runs.get(sim) ?? []), word]);
  }
  return runs;
}
