import { mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { makeFaultyDisk } from '../../support/faulty-disk.js';
import { temporaryFolder } from '../../support/files.js';
import { needs } from '../../support/needs.js';
import { type FATES, powerCuts } from '../../support/power-cut.js';
import { startProcess } from '../../support/process.js';
import { SEED, seededRandom } from '../../support/seed.js';

/** A disk with a folder, and a Node program with `fs`, `folder` and `say` on it. */
async function start(source: string, faults: Parameters<Disk['set']>[0] = {}) {
  const scratch = temporaryFolder();
  const folder = join(scratch, 'disk');
  mkdirSync(folder);
  const disk = await makeFaultyDisk(folder, scratch);
  disk.set(faults);
  const running = run(disk, process.execPath, ['--input-type=module', '-e', `${PRELUDE}\n${source}`]);
  return { scratch, disk, running, cuts: () => powerCuts(disk.log) };
}

type Disk = Awaited<ReturnType<typeof makeFaultyDisk>>;

const PRELUDE = `import * as fs from 'node:fs';
  const folder = process.env.FAULTY_DISK_FOLDER;
  const say = (text) => fs.writeSync(1, text + '\\n');
  const attempt = (what, work) => { try { work(); say(what + ' ok'); } catch (error) { say(what + ' ' + error.code); } };
  const file = fs.openSync(folder + '/file', 'w');
  const outside = fs.openSync(folder + '.outside', 'w');`;

const run = ({ env, folder }: Disk, program: string, args: readonly string[]) =>
  startProcess(program, args, { PATH: process.env['PATH'], ...env, FOLDER: folder });

/** The files of a folder, with what is in them. */
const contentsOf = (folder: string) =>
  Object.fromEntries(
    readdirSync(folder, { recursive: true, withFileTypes: true })
      .filter((entry) => entry.isFile())
      .map(({ parentPath, name }) => [name, readFileSync(join(parentPath, name), 'latin1')]),
  );

const summary = ({ records }: ReturnType<typeof powerCuts>) =>
  records.map(({ kind, name, offset, data }) => [kind, name, kind === 'sync' ? '' : offset, data.toString()].join(' '));

describe.skipIf(needs('cc'))('a faulty disk', () => {
  it('makes each sync take longer', async () => {
    const source = `const begun = performance.now(); fs.fsyncSync(file); say('after ' + (performance.now() - begun));`;
    const { running } = await start(source, { fsyncDelayMs: 200 });
    expect(Number((await running.line(/^after/)).slice(6))).toBeGreaterThanOrEqual(200);
  });

  it('lets syncs hang until it works again, and nothing else', async () => {
    const source = `fs.fsync(file, () => say('synced'));
      fs.writeSync(file, 'x');
      fs.fsync(outside, () => say('outside'));`;
    const { running, disk } = await start(source, { hang: true });
    await running.line(/^outside$/);
    expect(running.output()).not.toMatch(/^synced$/m);
    disk.set({});
    await running.line(/^synced$/);
    expect(await running.ended).toBe(0);
  });

  it('fails as many syncs as it is told, and then none; it can be told again while the program runs', async () => {
    const source = `for (const n of [1, 2, 3]) attempt('sync ' + n, () => fs.fsyncSync(file));
      attempt('outside', () => fs.fsyncSync(outside));
      say('waits');
      while (!fs.existsSync(folder + '.go'));
      for (const n of [4, 5]) attempt('sync ' + n, () => fs.fdatasyncSync(file));`;
    const { running, disk, cuts } = await start(source, { fsyncError: 'EIO', fsyncCount: 2 });
    await running.line(/^waits$/);
    disk.set({ fsyncError: 'EIO', fsyncCount: 1 });
    writeFileSync(`${disk.folder}.go`, '');
    expect(await running.ended).toBe(0);
    expect(running.output().match(/^(sync|outside).*$/gm)).toEqual([
      'sync 1 EIO',
      'sync 2 EIO',
      'sync 3 ok',
      'outside ok',
      'sync 4 EIO',
      'sync 5 ok',
    ]);
    const syncs = cuts().records.filter(({ kind }) => kind === 'sync' || kind === 'failed-sync');
    expect(syncs.map(({ kind }) => kind)).toEqual(['failed-sync', 'failed-sync', 'sync', 'failed-sync', 'sync']);
  });

  it('fails writes and truncations, which leave no trace then', async () => {
    const source = `attempt('write', () => fs.writeSync(file, 'x'));
      attempt('at', () => fs.writeSync(file, 'x', 7));
      attempt('several', () => fs.writevSync(file, [Buffer.from('x'), Buffer.from('y')]));
      attempt('truncate', () => fs.ftruncateSync(file, 3));
      attempt('outside', () => fs.writeSync(outside, 'x'));`;
    const { running, cuts } = await start(source, { writeError: 'ENOSPC' });
    expect(await running.ended).toBe(0);
    const failed = ['write', 'at', 'several', 'truncate'].map((what) => `${what} ENOSPC`);
    expect(running.output().split('\n')).toEqual([...failed, 'outside ok']);
    expect(summary(cuts())).toEqual(['create file 0 ', 'truncate file 0 ']);
  });

  it('writes down what is written, in order, with what others mark', async () => {
    const source = `fs.writeSync(file, 'one');
      fs.writeSync(file, 'two', 8);
      fs.writevSync(file, [Buffer.from('three'), Buffer.from('four')]);
      fs.ftruncateSync(file, 9);
      fs.fsyncSync(file);
      fs.appendFileSync(folder + '/end', 'a');
      fs.appendFileSync(folder + '/end', 'b');
      fs.renameSync(folder + '/end', folder + '/other');
      fs.unlinkSync(folder + '/other');
      fs.writeFileSync(folder + '/file-shm', 'not this');
      fs.writeFileSync(folder + '2', 'nor this');
      say('written');`;
    const { running, disk, cuts } = await start(source);
    expect(await running.ended).toBe(0);
    disk.mark('acknowledged 1');
    expect(summary(cuts())).toEqual([
      'create file 0 ',
      'truncate file 0 ',
      'write file 0 one',
      'write file 8 two',
      'write file 3 three',
      'write file 8 four',
      'truncate file 9 ',
      'sync file  ',
      'create end 0 ',
      'write end 0 a',
      'create end 0 ',
      'write end 1 b',
      'rename end 0 other',
      'unlink other 0 ',
      'mark  0 acknowledged 1',
    ]);
    expect(cuts().marks()).toEqual(['acknowledged 1']);
    expect(cuts().marks(14)).toEqual([]);
  });

  it('knows duplicated and reused descriptors', async () => {
    const { disk, cuts } = await start('');
    const script = `exec 3>"$FOLDER/one" 4>&3; echo a >&4; exec 3>&-; echo b >&4; exec 4>&-
      exec 4>"$FOLDER.outside"; echo c >&4; exec 4>"$FOLDER/two"; echo d >&4; exec 5>"$FOLDER/gone"; rm "$FOLDER/gone"; echo e >&5`;
    expect(await run(disk, 'sh', ['-c', script]).ended).toBe(0);
    const written = cuts().records.filter(({ kind }) => kind === 'write');
    expect(written.map(({ name, data }) => `${name} ${data}`)).toEqual(['one a\n', 'one b\n', 'two d\n']);
  });

  it('from what it wrote down builds what is there, whatever threads wrote', async () => {
    const source = `import { Worker, isMainThread } from 'node:worker_threads';
      const work = async (name) => {
        const target = await fs.promises.open(folder + '/' + name, 'w+');
        const shared = fs.openSync(folder + '/shared', 'a');
        for (let n = 0; n < 200; n++) {
          await target.write(Buffer.alloc(n * 7, n), 0, n * 7, (n * 37) % 5000);
          if (n % 50 === 49) await target.truncate(2000);
          if (n % 20 === 0) await target.sync();
          fs.writeSync(shared, name + n + '\\n');
        }
      };
      const source = \`import * as fs from 'node:fs'; const folder = process.env.FAULTY_DISK_FOLDER; (\${work})('worker')\`;
      new Worker(source, { eval: true });
      await Promise.all([work('first'), work('second')]);`;
    const { scratch, running, disk, cuts } = await start(source);
    expect(await running.ended, running.output()).toBe(0);
    const { records, build } = cuts();
    build(records.length, 'everything', seededRandom(SEED), join(scratch, 'built'));
    const there = contentsOf(disk.folder);
    expect(Object.keys(there).sort()).toEqual(['file', 'first', 'second', 'shared', 'worker']);
    expect(contentsOf(join(scratch, 'built'))).toEqual(there);
  });
});

describe.skipIf(needs('cc'))('a power cut', () => {
  it('leaves what was synced, and of the rest what its fate is', async () => {
    const { scratch, running, cuts } = await start(`
      const all = (letter) => letter.repeat(2048);
      fs.writeSync(file, all('a'));
      fs.fsyncSync(file);
      fs.writeSync(file, all('b'), 2048);
      fs.writeSync(file, all('c'), 4096);`);
    expect(await running.ended).toBe(0);
    const { records, build } = cuts();
    const random = seededRandom(SEED);
    const lengthsAfter = (before: number, fate: (typeof FATES)[number]) => {
      const folder = join(scratch, `${before} ${fate} ${random.integer(1e9)}`);
      build(before, fate, random, folder);
      const { file } = contentsOf(folder);
      return file === undefined ? undefined : ['a', 'b', 'c'].map((letter) => file.split(letter).length - 1);
    };
    const end = records.length;
    expect(lengthsAfter(end, 'nothing')).toEqual([2048, 0, 0]);
    expect(lengthsAfter(end, 'everything')).toEqual([2048, 2048, 2048]);
    const sync = records.findIndex(({ kind }) => kind === 'sync');
    expect(lengthsAfter(sync, 'nothing')).toBeUndefined();
    expect(lengthsAfter(sync, 'everything')).toEqual([2048, 0, 0]);
    const some = Array.from({ length: 40 }, () => String(lengthsAfter(end, 'some')));
    expect(new Set(some)).toEqual(new Set(['2048,0,0', '2048,2048,0', '2048,0,2048', '2048,2048,2048']));
    const torn = Array.from({ length: 40 }, () => String(lengthsAfter(end, 'torn')));
    expect(new Set(torn)).toEqual(new Set([0, 512, 1024, 1536].map((left) => `2048,2048,${left}`)));
  });

  it('takes names that were not synced, and what a failed sync was for', async () => {
    const { scratch, running, cuts } = await start(
      `attempt('sync', () => { fs.writeSync(file, 'lost'); fs.fsyncSync(file); });
      fs.writeSync(file, ' kept');
      fs.fsyncSync(file);
      fs.writeFileSync(folder + '/new', 'x');
      fs.renameSync(folder + '/new', folder + '/renamed');
      fs.fsyncSync(fs.openSync(folder));
      fs.unlinkSync(folder + '/renamed');`,
      { fsyncError: 'EIO', fsyncCount: 1 },
    );
    expect(await running.ended).toBe(0);
    expect(running.output()).toBe('sync EIO');
    const { records, build } = cuts();
    const after = (before: number, fate: (typeof FATES)[number]) => {
      const folder = join(scratch, `${before} ${fate}`);
      build(before, fate, seededRandom(SEED), folder);
      return contentsOf(folder);
    };
    const at = (kind: string) => records.findIndex((record) => record.kind === kind);
    expect(after(at('rename'), 'nothing')).toEqual({ file: '\0\0\0\0 kept' });
    expect(after(records.length, 'nothing')).toEqual({ file: '\0\0\0\0 kept', renamed: '' });
    expect(after(records.length, 'everything')).toEqual({ file: 'lost kept' });
    expect(after(records.length - 1, 'everything')).toEqual({ file: 'lost kept', renamed: 'x' });
  });
});
