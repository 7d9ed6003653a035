import { statSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { EXIT } from '../../../../sender/cli/exit.js';
import { makeFleetKey } from '../../../../sender/cli/keys/new.js';
import { setUpKeys } from './support.js';

describe('supersim keys new', () => {
  it('makes the file with a fleet key, and says that it has to be backed up', async () => {
    const { run, read, path } = setUpKeys();
    const { code, stdout, stderr } = await run(makeFleetKey);
    const [key] = read().fleet;
    expect(code).toBe(EXIT.ok);
    expect(key).toMatchObject({ isCurrent: true });
    expect(stdout).toBe(`fleet key ${key?.id}, kid ${key?.kid}\n`);
    expect(stderr).toContain(`Back up ${path}`);
    expect(statSync(path).mode & 0o7777).toBe(0o600);
  });

  it('takes the kid that is given', async () => {
    const { run, read } = setUpKeys();
    await run(makeFleetKey, { kid: 200 });
    expect(read().fleet.map(({ kid }) => kid)).toEqual([200]);
  });

  it.each([0, 256, 1.5, Number.NaN])('refuses the kid %s', async (kid) => {
    const { run, read } = setUpKeys();
    expect((await run(makeFleetKey, { kid })).code).toBe(EXIT.usage);
    expect(read().fleet).toEqual([]);
  });

  it('makes no second fleet key, and names what does', async () => {
    const { run, read } = setUpKeys();
    await run(makeFleetKey);
    const { code, stderr } = await run(makeFleetKey);
    expect(code).toBe(EXIT.usage);
    expect(stderr).toContain('supersim keys rotate');
    expect(read().fleet).toHaveLength(1);
  });
});
