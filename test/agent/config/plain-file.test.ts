import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { loadConfig } from '../../../agent/config/load.js';
import { readPlain } from '../../../agent/config/plain-file.js';
import { parseYaml } from '../../../agent/config/source.js';
import { temporaryFolder, writeFile } from '../../support/files.js';

const SETTINGS = {
  device: { id: 'a "b" \\ \n : # {}' },
  listen: { ports: [6969, { port: 7000, format: 'text' }] },
  log: { level: 'warn' },
};

describe('readPlain', () => {
  it.each([
    ['an empty file', ''],
    ['comments', '# one\n\n   # two: three\r\n\t\n#'],
    ['the sample', readFileSync('systemd/config.yaml', 'utf8')],
    ['JSON on one line', JSON.stringify(SETTINGS)],
    ['JSON with a layout', `\n${JSON.stringify(SETTINGS, null, 2)}\n`],
  ])('reads %s like the YAML parser', (_what, text) => {
    const plain = readPlain(text);
    expect(plain).toBeDefined();
    expect(plain).toEqual(parseYaml('c.yaml', text).settings);
  });

  it.each([
    ['YAML', 'log: {level: warn}'],
    ['YAML behind comments', '# one\nlog: {level: warn}'],
    ['a setting behind a comment that a lone CR ends', '# one\rlog: {level: warn}'],
    ['JSON with a key twice', '{"log":{"level":"warn"},"log":{"level":"info"}}'],
    ['JSON with a key twice in another writing', '{"log":{"level":"warn"},"l\\u006fg":{"level":"info"}}'],
    ['JSON with a comment', '{"log":{"level":"warn"}} # one'],
    ['a list', '[]'],
    ['nothing, in words', 'null'],
  ])('leaves %s to the YAML parser', (_what, text) => {
    expect(readPlain(text)).toBeUndefined();
  });
});

describe('a configuration file in JSON', () => {
  const load = (text: string) => loadConfig(writeFile(temporaryFolder(), 'c.json', text), [], {});

  it('is loaded', async () => {
    expect(await load(JSON.stringify(SETTINGS, null, 2))).toMatchObject({ device: SETTINGS.device, log: SETTINGS.log });
  });

  it('is rejected with the place of a mistake, such as a duplicate key', async () => {
    await expect(load('{\n  "log": { "levle": "warn" }\n}')).rejects.toThrow(/c\.json:2:12: log\.levle is unknown/);
    await expect(load('{\n  "log": {},\n  "log": {}\n}')).rejects.toThrow(/c\.json:3:3: /);
  });
});
