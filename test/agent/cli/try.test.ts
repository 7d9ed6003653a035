import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { parseJsonRpc } from '../../../shared/format/json-rpc.js';
import { fromCbor } from '../../../shared/format/value.js';
import { temporaryFolder, writeFile, writeScript } from '../../support/files.js';
import { supersimAgent } from './support.js';

const RELAY = `
import { defineHandler, z } from 'supersim-agent';
setInterval(() => undefined, 1000);
export default defineHandler({
  name: 'relay.set',
  description: 'Switches a relay',
  params: z.object({ channel: z.int(), on: z.boolean().default(true) }),
  async run({ channel, on }, context) {
    await context.emit('switched', channel);
    return { channel, on };
  },
});
export const bytes = defineHandler({ name: 'bytes', description: 'Bytes', run: () => Buffer.from([0, 255]) });
export const broken = defineHandler({ name: 'broken', description: 'Throws', run() { throw new Error('no relay'); } });
export const slow = defineHandler({ name: 'slow', description: 'Hangs', timeout: '100ms', run: () => new Promise(() => {}) });
`;

const withRelay = () => `modules: [${writeFile(temporaryFolder(), 'relay.mjs', RELAY)}]`;

/** The lines about the formats: their bytes' number and what is shown of them. */
function formatsOf(stdout: string): Record<string, { bytes: number; shown: string }> {
  const lines = [...stdout.matchAll(/^(text|json|cbor|raw) +(\d+) bytes {2}(.*)$/gm)];
  return Object.fromEntries(lines.map(([, format, bytes, shown = '']) => [format, { bytes: Number(bytes), shown }]));
}

describe('supersim-agent try', () => {
  it('shows the reply and its size in each format', async () => {
    const { code, stdout } = await supersimAgent(['try', 'ping']);
    expect(code).toBe(0);
    expect(stdout).toMatch(/^done after [\d.]+ ms\n/);
    const { text, json, cbor, raw } = formatsOf(stdout);
    expect(text).toEqual({ bytes: 12, shown: '#try ok pong' });
    expect(JSON.parse(json?.shown ?? '')).toEqual({ jsonrpc: '2.0', id: 'try', result: 'pong' });
    expect(fromCbor(Buffer.from(cbor?.shown ?? '', 'hex'))).toEqual({ jsonrpc: '2.0', id: 'try', result: 'pong' });
    expect(raw).toEqual({ bytes: 4, shown: 'pong' });
    expect(parseJsonRpc(JSON.parse(json?.shown ?? ''), () => Buffer.alloc(0)).entries).toEqual([]);
  });

  it('runs a handler of a module outside the package that imports the package by name', async () => {
    const { code, stdout } = await supersimAgent(['try', 'relay.set', '3', 'on=off'], withRelay());
    expect(formatsOf(stdout)['text']?.shown).toBe('#try ok channel=3 on=false');
    expect(code).toBe(0);
  });

  it('exits despite a running timer of the module, and logs events instead of sending them', async () => {
    const { code, stderr } = await supersimAgent(['try', 'relay.set', 'channel=3'], withRelay());
    expect(code).toBe(0);
    expect(stderr).toContain('"event":["switched",3]');
  });

  it('shows bytes in hexadecimal', async () => {
    const { text, raw } = formatsOf((await supersimAgent(['try', 'bytes'], withRelay())).stdout);
    expect(text).toEqual({ bytes: 10, shown: `${Buffer.from('#try ok ').toString('hex')}00ff` });
    expect(raw).toEqual({ bytes: 2, shown: '00ff' });
  });

  it('escapes control characters of the reply', async () => {
    const { stdout } = await supersimAgent(['try', 'echo', 'a\nb\u001b[2J']);
    expect(formatsOf(stdout)['text']?.shown).toBe('#try ok a\\nb\\u001b[2J');
    expect(stdout.trimEnd().split('\n')).toHaveLength(5);
  });

  it('accepts negative numbers, leading zeros, and flags after --', async () => {
    const shown = async (...args: string[]) =>
      formatsOf((await supersimAgent(['try', 'echo', ...args])).stdout)['json']?.shown;
    expect(await shown('-5', '007', '1e3')).toContain('["-5","007","1e3"]');
    expect(await shown('--', '--flag', '-x', '5', 'a=b')).toContain('{"a":"b","args":["--flag","-x","5"]}');
  });

  it.each([
    ['throws', 'broken', 'handler-failed'],
    ['does not end', 'slow', 'handler-timeout'],
    ['is given wrong parameters', 'relay.set', 'bad-params'],
  ])('exits with 1 when the handler %s', async (_what, name, error) => {
    const { code, stdout } = await supersimAgent(['try', name], withRelay());
    expect(code).toBe(1);
    expect(stdout).toMatch(new RegExp(`^${error} after `, 'm'));
    expect(formatsOf(stdout)['text']?.shown).toMatch(new RegExp(`^#try error ${error} `));
  });

  it('lists the known commands for an unknown one', async () => {
    const { code, stderr } = await supersimAgent(['try', 'pong']);
    expect(code).toBe(1);
    expect(stderr).toMatch(/^error unknown-command: .*\n.*ping, echo/);
  });

  it('names a broken module, and runs the others', async () => {
    const broken = writeFile(temporaryFolder(), 'broken.mjs', 'export default {');
    const { code, stderr } = await supersimAgent(['try', 'ping'], `modules: [${broken}]`);
    expect(stderr).toContain(broken);
    expect(code).toBe(0);
  });

  it('runs a program as a command would', async () => {
    const folder = temporaryFolder();
    const script = writeScript('read line; echo "$line $SUPERSIM_PARAM_A $SUPERSIM_COMMAND $SUPERSIM_ID"', folder);
    const { stdout } = await supersimAgent(
      ['try', 'show.it', 'a=$(id)'],
      `handlers: {show.it: {program: [${script}]}}`,
    );
    expect(formatsOf(stdout)['raw']?.shown).toBe('{"a":"$(id)"} $(id) show.it try');
  });

  it('kills processes that a program leaves behind, even when they ignore SIGTERM', async () => {
    const folder = temporaryFolder();
    const child = 'sh -c \'trap "" TERM; echo $$ > pid; exec sleep 1000\'';
    const script = writeScript(`${child} & while [ ! -s pid ]; do :; done; cat pid`, folder);
    const config = `handlers: {leave: {program: [${script}], directory: ${folder}}}`;
    const { stdout } = await supersimAgent(['try', 'leave'], config);
    const pid = Number(formatsOf(stdout)['raw']?.shown);
    expect(pid).toBeGreaterThan(1);
    await expect.poll(() => isRunning(pid)).toBe(false);
  });

  it('requires a name', async () => {
    expect((await supersimAgent(['try'])).code).toBe(2);
    expect((await supersimAgent(['try', 'ping', '--bogus'])).code).toBe(2);
  });

  it('reports a missing configuration file', async () => {
    const absent = join(temporaryFolder(), 'absent.yaml');
    const { code, stderr } = await supersimAgent(['try', 'ping', '--config', absent]);
    expect(code).toBe(1);
    expect(stderr).toMatch(/^error config-unreadable: /);
  });
});

/** A zombie has ended; how soon it is gone is its new parent's business. */
function isRunning(pid: number): boolean {
  try {
    return !/^State:\s+Z/m.test(readFileSync(`/proc/${pid}/status`, 'utf8'));
  } catch {
    return false;
  }
}
