import { mkdirSync, readdirSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { MARKER_NAME, readMarker, writeMarker } from '../../../agent/storage/folder.js';
import { temporaryFolder, writeFile } from '../../support/files.js';

describe('the marker of a state folder', () => {
  it('is not there before there was a journal', () => {
    expect(readMarker(temporaryFolder())).toBeUndefined();
  });

  it('says that a journal is being created, and then which it is', () => {
    const folder = temporaryFolder();
    writeMarker(folder, 'creating');
    expect(readMarker(folder)).toBe('creating');
    for (const id of ['0123456789ab', 'ba9876543210']) {
      writeMarker(folder, { id });
      expect(readMarker(folder)).toEqual({ id });
    }
    expect(readdirSync(folder)).toEqual([MARKER_NAME]);
    expect(statSync(join(folder, MARKER_NAME)).mode & 0o777).toBe(0o600);
  });

  it('is replaced whatever a power cut left of the next one', () => {
    const folder = temporaryFolder();
    writeFile(folder, `${MARKER_NAME}.new`, 'half');
    writeMarker(folder, { id: '0123456789ab' });
    expect(readMarker(folder)).toEqual({ id: '0123456789ab' });
  });

  it('that cannot be read is no absent one', () => {
    const folder = temporaryFolder();
    mkdirSync(join(folder, MARKER_NAME));
    expect(() => readMarker(folder)).toThrow('EISDIR');
  });
});
