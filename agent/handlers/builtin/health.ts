import { readFile, statfs } from 'node:fs/promises';
import { freemem, loadavg, totalmem } from 'node:os';
import * as z from 'zod';
import { type ClockCheck, createClockCheck } from '../../base/clock-sync.js';
import type { LinkView } from '../../transport/transport.js';
import { defineHandler, type HandlerDefinition } from '../handler.js';

/** The condition of the journal. */
export interface JournalHealth {
  /** `ok`, or why it cannot be written. */
  readonly state: string;
  /** How often since the start it was found to be lost. */
  readonly lost: number;
}

/** What `health` reports of other parts of the agent. */
export interface HealthSources {
  readonly clockSynchronized?: ClockCheck | undefined;
  readonly link?: (() => LinkView) | undefined;
  /** Returns undefined without a journal. */
  readonly journal?: (() => JournalHealth | undefined) | undefined;
}

const MEGABYTE = 1024 * 1024;

/** Reports the device's condition. Requests that come while it looks share what it finds. */
export function health({ clockSynchronized = createClockCheck(), link, journal }: HealthSources): HandlerDefinition {
  let pending: ReturnType<typeof look> | undefined;
  return defineHandler({
    name: 'health',
    description: 'Shows load, memory, disk, temperature, clock, link and journal',
    params: z.object({}),
    safe: true,
    run: async () => {
      pending ??= look().finally(() => {
        pending = undefined;
      });
      return pending;
    },
  });

  async function look() {
    const disk = await statfs('/');
    return {
      load1: round(loadavg()[0] ?? 0),
      memoryFreeMB: Math.round((await availableMemory()) / MEGABYTE),
      memoryTotalMB: Math.round(totalmem() / MEGABYTE),
      agentMemoryMB: Math.round(process.memoryUsage.rss() / MEGABYTE),
      diskFreeMB: Math.round((disk.bavail * disk.bsize) / MEGABYTE),
      diskTotalMB: Math.round((disk.blocks * disk.bsize) / MEGABYTE),
      temperatureC: await boardTemperature(),
      clockSynchronized: await clockSynchronized(),
      ...(link && linkHealth(link())),
      ...journalHealth(journal?.()),
    };
  }
}

/** Reports a journal that lost something, or cannot be written. */
function journalHealth(journal: JournalHealth | undefined) {
  if (journal === undefined) return {};
  return { journal: journal.state, ...(journal.lost > 0 && { journalLost: journal.lost }) };
}

/** Reports the link in use, and the modem and its network even while it is not in use. */
function linkHealth({ name, since, switches, links }: LinkView) {
  const { registration, operator, signalDbm, counters } = links.find(({ modem }) => modem !== undefined)?.modem ?? {};
  const linkSince = new Date(since).toISOString().replace('.000Z', 'Z');
  return {
    link: name,
    linkSince,
    linkSwitches: switches,
    registration,
    operator,
    signalDbm,
    ...(counters && {
      modemRecoveries: sum(counters.rungs),
      modemUrcsLost: counters.dataUrcsLost,
      modemDiscardedBytes: sum(counters.discardedBytes),
    }),
  };
}

const sum = (counts: Readonly<Record<string, number>>) =>
  Object.values(counts).reduce((total, count) => total + count, 0);

const round = (value: number) => Math.round(value * 100) / 100;

/** Returns the memory available to programs, including reclaimable caches. */
async function availableMemory(): Promise<number> {
  const kilobytes = /^MemAvailable:\s+(\d+) kB$/m.exec(await readText('/proc/meminfo'))?.[1];
  return kilobytes === undefined ? freemem() : Number(kilobytes) * 1024;
}

/** Reads the first thermal zone, on a Raspberry Pi the processor's; undefined where there is none. */
async function boardTemperature(): Promise<number | undefined> {
  const thousandths = (await readText('/sys/class/thermal/thermal_zone0/temp')).trim();
  return /^-?\d+$/.test(thousandths) ? round(Number(thousandths) / 1000) : undefined;
}

async function readText(path: string): Promise<string> {
  try {
    return await readFile(path, 'utf8');
  } catch {
    return '';
  }
}
