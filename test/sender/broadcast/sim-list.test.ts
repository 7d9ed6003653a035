import { createReadStream } from 'node:fs';
import { Readable } from 'node:stream';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { readSims } from '../../../sender/broadcast/sim-list.js';
import { SEED } from '../../support/seed.js';
import { collect, rejection } from '../support.js';

const read = (text: string) => collect(readSims(Readable.from([Buffer.from(text)])));

test.each<[string, string, string[]]>([
  ['one a line', 'a\nb\n', ['a', 'b']],
  ['without an end of the last line', 'a\nb', ['a', 'b']],
  ['lines as Windows ends them, with a byte order mark', '\uFEFFa\r\nb\r\n', ['a', 'b']],
  ['a heading', 'sim\na\nb\n', ['a', 'b']],
  ['a heading of another column', 'place,SIM_SID,note\nroof,a,x\ncellar,b,y\n', ['a', 'b']],
  ['the first column without a heading', 'a,roof\nb,cellar\n', ['a', 'b']],
  ['semicolons', 'unique_name;place\na;roof, north\n', ['a']],
  ['tabs', 'place\tsid\nroof\ta\n', ['a']],
  ['quotes, and what is special in them', '"a, b"\n"say ""c"""\n', ['a, b', 'say "c"']],
  ['spaces around', '  a  \n b,x\n', ['a', 'b']],
  ['empty lines and comments', '# these\n\na\n   \n#b\nc#d\n', ['a', 'c#d']],
  ['rows that are too short', 'place,sim\nroof,a\ncellar\n', ['a']],
  ['a name that looks like a heading, but not first', 'a\nsim\n', ['a', 'sim']],
  ['nothing', '', []],
  ['a heading alone', 'sim\n', []],
])('readSims reads a file with %s', async (_, text, sims) => {
  expect(await read(text)).toEqual(sims);
});

test.each([
  ['an open quote', '"a\nb\n'],
  ['a control character in a name', 'a\nb\u0007\n'],
  ['a name that is too long', `${'a'.repeat(101)}\n`],
  ['a line without an end', `${'a,'.repeat(70_000)}\n`],
])('readSims refuses a file with %s', async (_, text) => {
  expect(await rejection(read(text))).toMatchObject({ code: 'bad-input' });
});

test('readSims names a file that does not exist', async () => {
  const sims = collect(readSims(createReadStream('/no/such/sims.csv')));
  expect(await rejection(sims)).toMatchObject({ code: 'bad-input', message: expect.stringContaining('sims.csv') });
});

test('readSims names the invalid row, and closes the file', async () => {
  const input = Readable.from([Buffer.from('sim\na\nb\u0001\n')]);
  expect(await rejection(collect(readSims(input)))).toMatchObject({ message: expect.stringContaining('row 3') });
  expect(input.destroyed).toBe(true);
});

test('readSims reads CSV in chunks of any size', async () => {
  const name = fc
    .string({ unit: 'grapheme', minLength: 1, maxLength: 30 })
    .map((text) => text.trim())
    .filter((text) => text !== '' && text.length <= 100 && text.isWellFormed() && !/[\p{Cc}\uFEFF]/u.test(text));
  await fc.assert(
    fc.asyncProperty(fc.array(name, { maxLength: 20 }), fc.integer({ min: 1, max: 9 }), async (sims, size) => {
      const lines = sims.map((sim) => `7,"${sim.replaceAll('"', '""')}",x\n`);
      const bytes = Buffer.from(`number,sim,note\n${lines.join('')}`);
      const pieces = Array.from({ length: Math.ceil(bytes.length / size) }, (_, index) =>
        bytes.subarray(index * size, (index + 1) * size),
      );
      expect(await collect(readSims(Readable.from(pieces)))).toEqual(sims);
    }),
    { seed: SEED },
  );
});

test('readSims reads a long list no faster than it is consumed', async () => {
  let made = 0;
  const input = Readable.from(
    (function* () {
      for (; made < 1000; made++)
        yield Buffer.from(Array.from({ length: 100 }, (_, i) => `sim-${made}-${i}\n`).join(''));
    })(),
  );
  for await (const sim of readSims(input)) {
    expect(sim).toBe('sim-0-0');
    break;
  }
  expect(made).toBeLessThan(200);
});
