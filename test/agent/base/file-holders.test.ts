import { closeSync, openSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { formatHolder, holdersOf } from '../../../agent/base/file-holders.js';
import { temporaryFolder, writeFile } from '../../support/files.js';
import { openBy } from '../../support/holder.js';

describe('the holders of a file', () => {
  it('are the other processes that have it open', async () => {
    const path = writeFile(temporaryFolder(), 'file', '');
    expect(await holdersOf([path])).toEqual([]);
    const pid = await openBy('holder', path);
    expect(await holdersOf([path])).toMatchObject([{ pid, command: 'holder', certain: true }]);
  });

  it('do not include this process', async () => {
    const path = writeFile(temporaryFolder(), 'file', '');
    const file = openSync(path, 'r');
    expect(await holdersOf([path])).toEqual([]);
    closeSync(file);
  });

  it('of a file that is not there are none', async () => {
    expect(await holdersOf([join(temporaryFolder(), 'absent')])).toEqual([]);
  });

  it.each([
    [{ pid: 7, command: 'agent', service: 'agent.service', certain: true }, 'agent (pid 7, agent.service)'],
    [{ pid: 7, command: 'agent', certain: true }, 'agent (pid 7)'],
    [{ pid: 7, command: 'agent', certain: false }, 'perhaps agent (pid 7)'],
  ])('are named as a person knows them: %j', (holder, text) => {
    expect(formatHolder(holder)).toBe(text);
  });
});
