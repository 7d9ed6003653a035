import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdir, mkdtemp, rm } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { build } from 'esbuild';
import { afterAll, beforeAll, describe, expect, it, onTestFinished } from 'vitest';
import { type Answer, closedUrl, ipCommand, json, startApi, vendorError } from '../sender/support.js';

const ROOT = resolve(import.meta.dirname, '../..');

/** The commands as a program mounts them. */
const PROGRAM = `
import yargs from 'yargs';
import { fetchCommand } from './sender/cli/api/fetch.ts';
import { listCommand } from './sender/cli/api/list.ts';
import { sendCommand } from './sender/cli/api/send.ts';
import { watchCommand } from './sender/cli/api/watch.ts';
import { reportError } from './sender/cli/exit.ts';
import { SupersimError } from './shared/errors.ts';

try {
  await yargs(process.argv.slice(2)).scriptName('supersim')
    .command([sendCommand, listCommand, fetchCommand, watchCommand])
    .strict().demandCommand(1)
    .fail((message, error) => { throw error ?? new SupersimError('bad-input', message); })
    .parseAsync();
} catch (error) {
  process.exitCode = reportError(error);
}`;

let folder: string;
let program: string;

beforeAll(async () => {
  const cache = join(ROOT, 'node_modules/.cache');
  await mkdir(cache, { recursive: true });
  folder = await mkdtemp(join(cache, 'supersim-'));
  program = join(folder, 'supersim.mjs');
  const stdin = { contents: PROGRAM, resolveDir: ROOT, loader: 'ts' } as const;
  await build({ stdin, bundle: true, platform: 'node', format: 'esm', packages: 'external', outfile: program });
});

afterAll(() => rm(folder, { recursive: true, force: true }));

function start(url: string, args: readonly string[], stdin: 'ignore' | 'pipe' = 'ignore'): ChildProcess {
  const env = {
    PATH: process.env['PATH'],
    SUPERSIM_ACCOUNT_SID: 'AC1',
    SUPERSIM_AUTH_TOKEN: 's3cret',
    SUPERSIM_API_URL: url,
  };
  const child = spawn(process.execPath, [program, ...args], { env, stdio: [stdin, 'pipe', 'pipe'] });
  onTestFinished(() => void child.kill('SIGKILL'));
  return child;
}

function keep(stream: ChildProcess['stdout']): () => string {
  let text = '';
  stream?.setEncoding('utf8').on('data', (chunk: string) => {
    text += chunk;
  });
  return () => text;
}

async function run(url: string, args: readonly string[]) {
  const child = start(url, args);
  const stdout = keep(child.stdout);
  const stderr = keep(child.stderr);
  const [code, signal] = await once(child, 'close');
  return { code, signal, stdout: stdout(), stderr: stderr() };
}

const created: Answer = (response) => json(response, 201, ipCommand());
const send = ['send', '--sim', 'gateway-1'];

describe('the program supersim', () => {
  it('exits with 0 after a command was sent', async () => {
    const api = await startApi(created);
    const { code, stdout, stderr } = await run(api.url, [...send, '--json', '#1 ping']);
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
    expect(JSON.parse(stdout)).toEqual(ipCommand());
  });

  it.each([
    ['a number', ['0123'], '0123'],
    ['a negative number', ['-5'], '-5'],
    ['a number behind --', ['--', '0x10'], '0x10'],
    ['what looks like an option', ['--', '--json'], '--json'],
    ['several words in one', ['set --port 7'], 'set --port 7'],
  ])('sends %s as the payload', async (_, args, payload) => {
    const api = await startApi(created);
    expect(await run(api.url, [...send, ...args])).toMatchObject({ code: 0 });
    expect(new URLSearchParams(api.seen[0]?.body).get('Payload')).toBe(payload);
  });

  it.each([
    ['no payload', []],
    ['-', ['-']],
    ['- behind --', ['--', '-']],
  ])('reads standard input when given %s', async (_, args) => {
    const api = await startApi(created);
    const child = start(api.url, [...send, ...args], 'pipe');
    child.stdin?.end('from a pipe');
    expect(await once(child, 'close')).toEqual([0, null]);
    expect(new URLSearchParams(api.seen[0]?.body).get('Payload')).toBe('from a pipe');
  });

  it.each([
    ['too little', ['send', 'ping']],
    ['an unknown option', [...send, 'ping', '--auth-token', 'x']],
    ['an unknown status', ['list', '--status', 'lost']],
    ['no port', [...send, 'ping', '--port', 'x']],
    ['an empty payload', [...send, '']],
    ['two payloads', [...send, 'ping', '--', 'pong']],
    ['no SID', ['fetch', 'HG1']],
    ['a profile that is not there', ['list', '--profile', '/nonexistent/profile.yaml']],
  ])('exits with 2 for %s', async (_, args) => {
    const api = await startApi(created);
    const { code, stdout, stderr } = await run(api.url, args);
    expect({ code, stdout }).toEqual({ code: 2, stdout: '' });
    expect(stderr).toMatch(/^error (bad-input|no-credentials): .+\n(.+\n)+$/);
    expect(api.seen).toHaveLength(0);
  });

  it('exits with 3 when the API refuses', async () => {
    const api = await startApi((response) => json(response, 401, vendorError(401, 20003)));
    const { code, stderr } = await run(api.url, [...send, 'ping']);
    expect(code).toBe(3);
    expect(stderr).toMatch(/^error api-error: HTTP 401, code 20003: .+\n.+\n$/);
  });

  it('exits with 4 when a command may have been sent', async () => {
    const api = await startApi((response) => response.socket?.resetAndDestroy());
    const { code, stderr } = await run(api.url, [...send, 'ping']);
    expect(code).toBe(4);
    expect(stderr).toMatch(/^error api-unknown-fate: .+\n.+\n$/);
    expect(api.seen).toHaveLength(1);
  });

  it('exits with 5 when the API cannot be reached', async () => {
    const { code, stderr } = await run(await closedUrl(), [...send, 'ping']);
    expect(code).toBe(5);
    expect(stderr).toMatch(/^error api-unreachable: .+\n.+\n$/);
  });

  it('ends without an error when the reader closes the pipe', async () => {
    const payload = 'x'.repeat(1300);
    const ip_commands = Array.from({ length: 100 }, (_, i) => ipCommand(i, { payload }));
    const api = await startApi((response, { headers }) =>
      json(response, 200, { ip_commands, meta: { next_page_url: `http://${headers.host}/v1/IpCommands` } }),
    );
    const child = start(api.url, ['list', '--limit', '900000']);
    const stderr = keep(child.stderr);
    child.stdout?.once('data', () => child.stdout?.destroy());
    expect(await once(child, 'close')).toEqual([0, null]);
    expect(stderr()).toBe('');
  });

  it('ends without an error when the reader closes the pipe between two rows', async () => {
    let child: ChildProcess | undefined;
    const api = await startApi(async (response, { headers }, count) => {
      if (count === 2 && child?.stdout) await once(child.stdout.destroy(), 'close');
      const meta = { next_page_url: `http://${headers.host}/v1/IpCommands` };
      json(response, 200, { ip_commands: [ipCommand(count)], meta });
    });
    child = start(api.url, ['list', '--limit', '900000']);
    const stderr = keep(child.stderr);
    expect(await once(child, 'close')).toEqual([0, null]);
    expect(stderr()).toBe('');
  });

  it.each(['SIGINT', 'SIGTERM'] as const)('watches until %s, and exits with 0', async (signal) => {
    const api = await startApi((response) => json(response, 200, { ip_commands: [], meta: {} }));
    const child = start(api.url, ['watch']);
    const stdout = keep(child.stdout);
    const stderr = keep(child.stderr);
    child.stderr?.once('data', () => child.kill(signal));
    expect(await once(child, 'close')).toEqual([0, null]);
    expect(stdout()).toMatch(/^CREATED .+ PAYLOAD\n$/);
    expect(stderr()).toBe('watching; Ctrl-C stops\n');
  });

  it('prints its help', async () => {
    const { code, stdout } = await run('http://127.0.0.1:1', ['send', '--help']);
    expect(code).toBe(0);
    for (const option of ['--sim', '--port', '--binary', '--file', '--callback-url', '--size-limit', '--json']) {
      expect(stdout).toContain(option);
    }
  });
});
