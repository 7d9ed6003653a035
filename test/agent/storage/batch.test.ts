import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { createBatchPacker, runBatch } from '../../../agent/storage/batch.js';
import { writeRecord } from '../../../agent/storage/record.js';
import type { SqlValue } from '../../../shared/sqlite/native.js';
import { SEED } from '../../support/seed.js';

type Statement = readonly [sql: string, values: readonly SqlValue[]];
type Packer = ReturnType<typeof createBatchPacker>;

/** The other side: it knows the statements that it was told of, and runs what it is handed. */
function createReader() {
  const known: string[] = [];
  return (packed: ReturnType<Packer['take']>): Statement[] => {
    known.push(...packed.sql);
    const ran: Statement[] = [];
    runBatch(packed.memory, packed.length, known, (sql, values) => {
      // The bytes lie in the memory of the batch.
      ran.push([sql, values.map((value) => (value instanceof Uint8Array ? Buffer.from(value) : value))]);
    });
    return ran;
  };
}

function pack(packer: Packer, statements: readonly Statement[]): ReturnType<Packer['take']> {
  packer.reuse(undefined);
  for (const [sql, values] of statements) packer.run(sql, values);
  return packer.take();
}

const value: fc.Arbitrary<SqlValue> = fc.oneof(
  fc.double({ noNaN: true }),
  fc.maxSafeInteger(),
  fc.string({ unit: 'grapheme' }),
  fc.constant(null),
  fc.uint8Array({ maxLength: 3000 }).map((bytes) => Buffer.from(bytes)),
);
const statement = fc.tuple(fc.constantFrom('INSERT', 'UPDATE', 'DELETE'), fc.array(value, { maxLength: 6 }));

describe('a batch', () => {
  it('is run as it was packed, in its order, also after others', () => {
    fc.assert(
      fc.property(fc.array(fc.array(statement, { maxLength: 60 }), { maxLength: 5 }), (batches) => {
        const packer = createBatchPacker();
        const read = createReader();
        for (const batch of batches) expect(read(pack(packer, batch))).toEqual(batch);
      }),
      { seed: SEED, numRuns: 50 },
    );
  });

  it('of any size is packed', () => {
    const bytes = Buffer.alloc(1_000_000, 7);
    const text = 'x'.repeat(200_000);
    const big: Statement[] = [['INSERT', [bytes, text]]];
    const ran = createReader()(pack(createBatchPacker(), [...big, ...big]));
    expect(ran).toHaveLength(2);
    for (const [, [first, second]] of ran) {
      expect(first instanceof Uint8Array && bytes.equals(first)).toBe(true);
      expect(second === text).toBe(true);
    }
  });

  it('names each statement once', () => {
    const packer = createBatchPacker();
    expect(
      pack(packer, [
        ['A', []],
        ['B', []],
        ['A', []],
      ]).sql,
    ).toEqual(['A', 'B']);
    expect(
      pack(packer, [
        ['B', []],
        ['C', []],
      ]).sql,
    ).toEqual(['C']);
    packer.reset();
    expect(pack(packer, [['B', []]]).sql).toEqual(['B']);
  });

  it('with a statement that the worker was not told of is not run', () => {
    const packer = createBatchPacker();
    const { memory, length } = pack(packer, [['A', []]]);
    expect(() => runBatch(memory, length, [], () => expect.unreachable())).toThrow('not told of');
  });

  it('has the content of a record as a record, and tells the size of records and bytes', () => {
    const packer = createBatchPacker();
    packer.reuse(undefined);
    // Longer in UTF-8 than in UTF-16, and than the memory at first.
    const text = JSON.stringify({ name: '€'.repeat(20_000) });
    const attachments = [Buffer.from('of two'), Buffer.from(' parts')];
    const record = writeRecord(text, ...attachments);
    const size = packer.run('INSERT', ['no bytes', { text, attachments }, 1, Buffer.from('four'), null]);
    expect(size).toBe(record.length + 4);
    expect(createReader()(packer.take())).toEqual([['INSERT', ['no bytes', record, 1, Buffer.from('four'), null]]]);
  });

  it('takes memory that came back', () => {
    const packer = createBatchPacker();
    const { memory } = pack(packer, [['A', [1]]]);
    packer.reuse(memory);
    packer.run('A', [2]);
    // What is being packed stays.
    packer.reuse(undefined);
    expect(packer.take().memory).toBe(memory);
    packer.reuse(undefined);
    expect(packer.take().length).toBe(0);
  });

  it('gives up the memory of a large one', () => {
    const packer = createBatchPacker();
    const { memory } = pack(packer, [['A', [Buffer.alloc(2_000_000)]]]);
    packer.reuse(memory);
    packer.run('A', [1]);
    expect(packer.take().memory.byteLength).toBeLessThan(100_000);
  });
});
