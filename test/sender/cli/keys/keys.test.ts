import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { writeFile } from '../../../support/files.js';
import { buildKeysProgram, startKeys } from '../../../support/keys.js';
import { expectHidden, setUpKeys, startSims } from './support.js';

let remove: () => void;
beforeAll(async () => {
  remove = await buildKeysProgram();
});
afterAll(() => remove());

describe('the program', { timeout: 60_000 }, () => {
  it('makes, lists, replaces and revokes keys, and prints no secret', async () => {
    const { folder, variables, read, printed } = setUpKeys(await startSims(2));
    async function keys(...args: string[]) {
      const running = startKeys(['keys', ...args], variables);
      const code = await running.ended;
      printed.push(running.output());
      return { code, output: running.output() };
    }
    const out = join(folder, 'gateway-1.json');
    expect(await keys('new')).toMatchObject({ code: 0 });
    expect(await keys('device', '--sim', 'gateway-1', '--out', out, '--allow', 'ping', 'relay.*')).toMatchObject({
      code: 0,
    });
    expect(JSON.parse(readFileSync(out, 'utf8'))).toMatchObject({ allow: ['ping', 'relay.*'] });
    expect(await keys('import', out, '--sim', 'gateway-2')).toMatchObject({ code: 2 });
    expect(await keys('rotate', '--kid', '77')).toMatchObject({ code: 0 });
    expect(await keys('ls', '--sims', '--json')).toMatchObject({ code: 0 });
    expect(await keys('operator')).toMatchObject({ code: 0 });
    expect(await keys('revoke', '--sim', 'gateway-1')).toMatchObject({ code: 0 });
    const [old] = read().fleet;
    expect(await keys('revoke', old?.id ?? '')).toMatchObject({ code: 0 });
    expect(await keys('rotate', '--all', '--sim', 'gateway-1')).toMatchObject({ code: 2 });
    expect(await keys('revoke')).toMatchObject({ code: 2 });
    if (old?.secret === undefined) throw new Error('the fleet key was erased too early');
    expectHidden(old.secret, printed.join('\n'));
    expectHidden(Buffer.from(JSON.parse(readFileSync(out, 'utf8')).secret, 'hex'), printed.join('\n'));
  });

  it('makes key files in two processes at once', async () => {
    const { folder, variables, read } = setUpKeys(await startSims(40));
    expect(await startKeys(['keys', 'new'], variables).ended).toBe(0);
    const running = [1, 21].map((first) => {
      const names = Array.from({ length: 25 }, (_, index) => `gateway-${Math.min(40, first + index)}`);
      const list = writeFile(folder, `${first}.csv`, names.join('\n'));
      return startKeys(['keys', 'device', '--file', list, '--out', join(folder, 'keys')], variables);
    });
    for (const { ended, output } of running) expect(await ended, output()).toBe(0);
    expect(read().keys).toHaveLength(40);
    expect(read().keys.every(({ state }) => state === 'used')).toBe(true);
  });

  it('makes one fleet key in two processes at once', async () => {
    const { variables, read } = setUpKeys();
    const running = [1, 2].map(() => startKeys(['keys', 'new'], variables));
    const codes = await Promise.all(running.map(({ ended }) => ended));
    expect(codes.sort()).toEqual([0, 2]);
    expect(read().fleet).toHaveLength(1);
  });
});
