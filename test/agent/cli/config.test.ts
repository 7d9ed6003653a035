import { chmodSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { parse } from 'yaml';
import { temporaryFolder, writeFile, writeScript } from '../../support/files.js';
import { needs } from '../../support/needs.js';
import { supersimAgent, supersimAgentAsNobody } from './support.js';

describe('supersim-agent config check', () => {
  it('finds programs that are not executable, not files, or in a missing directory', async () => {
    const plain = writeFile(temporaryFolder(), 'plain', '#!/bin/sh\n');
    const config = [
      'handlers:',
      `  a: { program: [${plain}] }`,
      '  b: { program: [/bin] }',
      '  c: { program: [/bin/true], directory: /nowhere }',
    ];
    const { code, stderr } = await supersimAgent(['config', 'check'], config.join('\n'));
    expect(code).toBe(1);
    expect(stderr.match(/handler program not runnable: [abc]: /g)).toHaveLength(3);
  });

  it('exits with 0 for a valid configuration with valid handlers', async () => {
    const module = writeFile(
      temporaryFolder(),
      'handler.mjs',
      `setInterval(() => {}, 1000); export default { name: 'mine', description: '', run() {} };`,
    );
    const config = `modules: [${module}]\nhandlers: {df: {program: [${writeScript('df')}]}}`;
    expect(await supersimAgent(['config', 'check'], config)).toMatchObject({
      code: 0,
      stderr: '',
      stdout: expect.stringContaining('9 commands'),
    });
  });

  it('exits with 1 and a line with its place for each mistake', async () => {
    const { code, stdout, stderr, file } = await supersimAgent(
      ['config', 'check'],
      'lissten: {}\nlog:\n  level: loud\n',
    );
    expect(code).toBe(1);
    expect(stdout).toBe('');
    const lines = stderr.split('\n');
    expect(lines[0]).toMatch(/^error config-invalid: /);
    expect(stderr).toContain(`${file}:1:1: lissten is unknown; did you mean listen?\n`);
    expect(stderr).toContain(`${file}:3:3: log.level: `);
    expect(lines).toHaveLength(4);
  });

  it('names each invalid handler and the reason', async () => {
    const unsafe = writeFile(temporaryFolder(), 'script.sh', '', 0o777);
    const config = [
      `handlers: {unsafe: {program: [${unsafe}]}, relative: {program: [df]}}`,
      'modules: [/nowhere/handler.mjs]',
      'listen: {ports: [{port: 7000, format: raw, handler: frames}]}',
    ].join('\n');
    const { code, stderr } = await supersimAgent(['config', 'check'], config);
    expect(code).toBe(1);
    expect(stderr).toMatch(/^error handler-invalid: /);
    for (const what of ['unsafe: ', 'relative: ', '/nowhere/handler.mjs: ', 'frames\n']) expect(stderr).toContain(what);
    expect(stderr).not.toContain('undefined');
  });

  it.each([
    ['is not there', ['--config', '/nowhere/config.yaml']],
    ['is a folder', ['--config', '/tmp']],
  ])('exits with 1 when the file %s', async (_what, args) => {
    const { code, stderr } = await supersimAgent(['config', 'check', ...args]);
    expect(code).toBe(1);
    expect(stderr).toMatch(/^error config-unreadable: /);
  });

  it.skipIf(needs('root'))('tells a user who may not read the file to use sudo', async () => {
    const folder = temporaryFolder();
    chmodSync(folder, 0o755);
    const file = writeFile(folder, 'config.yaml', '', 0o640);
    const asNobody = supersimAgentAsNobody();
    for (const args of [['config', 'check'], ['config', 'show'], ['try', 'ping'], ['modem', 'at', 'AT'], ['run']]) {
      const { code, stderr } = await asNobody([...args, '--config', file]);
      expect([args, code]).toEqual([args, 1]);
      expect(stderr).toContain(`error config-unreadable: cannot read ${file}`);
      expect(stderr).toMatch(/Run it with sudo.*`sudo chown root:supersim-agent \S+ && sudo chmod 640 \S+`/);
    }
  });

  it('names an unknown variable and the nearest one', async () => {
    const { code, stderr } = await supersimAgent(['config', 'check'], '', { SUPERSIM_AGENT_LOG_LEVLE: 'warn' });
    expect(code).toBe(1);
    expect(stderr).toMatch(/SUPERSIM_AGENT_LOG_LEVLE; did you mean SUPERSIM_AGENT_LOG_LEVEL\?/);
  });
});

describe('supersim-agent config show', () => {
  it('prints the effective configuration as YAML with secrets masked', async () => {
    const config = 'handlers: {a: {program: [/a], environment: [TOKEN=s3cret]}}\nlog: {level: warn}';
    const { code, stdout } = await supersimAgent(['config', 'show'], config, { SUPERSIM_AGENT_LIMITS_RUNNING: '3' });
    expect(code).toBe(0);
    expect(stdout).not.toContain('s3cret');
    expect(parse(stdout)).toMatchObject({
      log: { level: 'warn' },
      limits: { running: 3 },
      handlers: { a: { environment: ['TOKEN=***'] } },
    });
    const again = await supersimAgent(['config', 'show'], stdout);
    expect(again.stdout).toBe(stdout);
  });
});

describe('supersim-agent config schema', () => {
  it('prints a JSON Schema', async () => {
    const { code, stdout } = await supersimAgent(['config', 'schema']);
    expect(code).toBe(0);
    expect(JSON.parse(stdout)).toMatchObject({
      $schema: expect.stringContaining('2020-12'),
      type: 'object',
      additionalProperties: false,
    });
  });
});

describe('supersim-agent with wrong arguments', () => {
  it.each([[['config']], [['config', 'chekc']], [['config', 'check', '--bogus']], [['frobnicate']], [[]]])(
    'exits with 2: %j',
    async (args) => {
      const { code, stdout, stderr } = await supersimAgent(args);
      expect(code).toBe(2);
      expect(stdout).toBe('');
      expect(stderr).toContain('Options:');
    },
  );
});
