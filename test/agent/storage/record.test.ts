import { describe, expect, it } from 'vitest';
import * as z from 'zod';
import { readRecord, writeRecord } from '../../../agent/storage/record.js';
import { DamagedError } from '../../../agent/storage/sqlite.js';

const schema = z.object({ name: z.string() });
const TEXT = JSON.stringify({ name: 'ü' });

describe('a record', () => {
  it('is read as it was written', () => {
    const record = writeRecord(TEXT);
    expect(readRecord(schema, record)).toEqual({ document: { name: 'ü' }, attachment: undefined, size: record.length });
  });

  it.each([
    ['nothing', Buffer.alloc(0)],
    ['bytes', Buffer.from([0, 255, 123, 2])],
  ])('keeps an attachment of %s', (_, attachment) => {
    const record = writeRecord(TEXT, attachment);
    expect(readRecord(schema, record)).toEqual({ document: { name: 'ü' }, attachment, size: record.length });
  });

  it.each([
    ['without', []],
    ['with', [Buffer.from('attach'), Buffer.from('ment')]],
  ])('%s an attachment shows each bit that was turned, and each byte that is missing', (_, attachments) => {
    const record = writeRecord(TEXT, ...attachments);
    for (let bit = 0; bit < 8 * record.length; bit++) {
      const turned = Buffer.from(record);
      turned.writeUInt8(record.readUInt8(bit >> 3) ^ (1 << (bit & 7)), bit >> 3);
      expect(() => readRecord(schema, turned), `bit ${bit}`).toThrow(DamagedError);
    }
    for (let length = 0; length < record.length; length++) {
      expect(() => readRecord(schema, record.subarray(0, length)), `${length} bytes`).toThrow(DamagedError);
    }
  });

  it.each([
    ['text', 'text'],
    ['nothing', undefined],
    ['what has another form', writeRecord('{"name":1}')],
    ['what is no JSON', writeRecord('{')],
  ])('is not %s', (_, column) => {
    expect(() => readRecord(schema, column)).toThrow(DamagedError);
  });
});
