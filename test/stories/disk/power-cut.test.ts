import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { temporaryFolder } from '../../support/files.js';
import { needs } from '../../support/needs.js';
import { FATES, powerCuts } from '../../support/power-cut.js';
import { SEED, seededRandom } from '../../support/seed.js';
import { emptyDisk, openSender, startOn } from './agent-on-disk.js';

const COMMANDS = 300;
const CUTS = 20;
const IN_FLIGHT = 8;
const IDS = Array.from({ length: COMMANDS }, (_, index) => index + 1);

/** The numbers behind a word in the marks of a log. */
const marked = (marks: readonly string[], word: string): number[] =>
  marks.filter((mark) => mark.startsWith(`${word} `)).map((mark) => Number(mark.split(' ')[1]));

/** What happens more than once. */
const twice = (ids: readonly number[]): number[] => ids.filter((id, index) => ids.indexOf(id) !== index);

describe.skipIf(needs('cc'))('a power cut', () => {
  it('at any moment loses no command that was answered, and lets none run twice', async () => {
    const disk = await emptyDisk();
    const sender = await openSender();
    const before = await startOn(disk.folder, disk.env);
    await sender.send(IDS, before.device, IN_FLIGHT, ({ id, said }) => disk.mark(`${said} ${id}`));
    before.agent.kill('SIGTERM');
    expect(await before.agent.ended).toBe(0);
    expect(before.runs().sort((a, b) => a - b)).toEqual(IDS);

    const { records, marks, build } = powerCuts(disk.log);
    const random = seededRandom(SEED);
    const answered: number[] = [];
    for (let cut = 0; cut < CUTS; cut++) {
      const at = 1 + random.integer(records.length);
      const fate = FATES[cut % FATES.length] ?? 'some';
      const what = `power cut ${cut} before record ${at} of ${records.length}, of which ${fate} stays`;
      const folder = join(temporaryFolder(), 'state');
      build(at, fate, random, folder);
      const done = marked(marks(at), 'done');
      const ranBefore = marked(marks(at), 'ran');
      answered.push(done.length);

      const after = await startOn(folder);
      // What was not sent by then is of no interest.
      const last = Math.max(0, ...done, ...ranBefore) + IN_FLIGHT;
      const heard = await sender.send(IDS.slice(0, last), after.device, 64);
      await after.kill();
      heard.push(...(await sender.soFar()));
      expect(twice([...ranBefore, ...after.runs()]), what).toEqual([]);
      const otherwise = heard.filter(({ id, said }) => done.includes(id) && said !== 'done');
      expect(otherwise, what).toEqual([]);
      expect(after.agent.output(), what).not.toContain('damaged');
    }
    // The moments are spread: few and many had been answered by then.
    expect(Math.min(...answered)).toBeLessThan(COMMANDS / 4);
    expect(Math.max(...answered)).toBeGreaterThan((COMMANDS * 3) / 4);
  }, 120_000);
});
