import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { lstatSync } from 'node:fs';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { build } from 'esbuild';
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from 'vitest';
import { temporaryFolder } from '../support/files.js';
import { openPort } from './modem/port.js';
import { device, get, inbox, post, start } from './support.js';

const root = join(import.meta.dirname, '../..');
const script = join(root, `node_modules/.cache/loopback-cli-${process.pid}.mjs`);

// A real process, for signals and exit codes; under node_modules so that it finds packages.
beforeAll(async () => {
  await build({
    stdin: {
      contents: `
        import yargs from 'yargs';
        import { loopbackCommand } from './loopback/cli.js';
        await yargs(process.argv.slice(2)).command(loopbackCommand).strict().parseAsync();
      `,
      resolveDir: root,
      loader: 'ts',
    },
    outfile: script,
    bundle: true,
    platform: 'node',
    format: 'esm',
    packages: 'external',
  });
});

afterAll(() => rm(script, { force: true }));

function run(args: readonly string[], environment: Record<string, string> = {}) {
  const child = spawn(process.execPath, [script, 'loopback', ...args], { env: { PATH: '', ...environment } });
  onTestFinished(() => void child.kill('SIGKILL'));
  return { child, out: linesOf(child.stdout, 'stdout'), err: linesOf(child.stderr, 'stderr') };
}

function linesOf(stream: NodeJS.ReadableStream, name: string) {
  const lines = inbox<string>(name);
  let rest = '';
  stream.on('data', (chunk: Buffer) => {
    const parts = (rest + chunk).split('\n');
    rest = parts.pop() ?? '';
    for (const line of parts) lines.push(line);
  });
  return lines;
}

async function exitOf(child: ChildProcess): Promise<unknown> {
  const [code, signal] = await once(child, 'close');
  return code ?? signal;
}

const anyPorts = ['--http-port', '0', '--gateway', '127.0.0.1:0'];
const credentials = { SUPERSIM_ACCOUNT_SID: `AC${'5'.repeat(32)}`, SUPERSIM_AUTH_TOKEN: 'secret' };

test.each(['SIGINT', 'SIGTERM'] as const)('supersim loopback serves until %s, and exits with 0', async (signal) => {
  const { child, out, err } = run(anyPorts, credentials);
  const [, url = ''] = /^API +(http\S+)$/.exec(await out.take((line) => line.startsWith('API'))) ?? [];
  expect(await out.take((line) => line.startsWith('KORE'))).toMatch(
    /^KORE {7}SUPERSIM_CLIENT_ID=[\da-f]{32} SUPERSIM_CLIENT_SECRET=[\da-f]{32}$/,
  );
  const { SUPERSIM_ACCOUNT_SID, SUPERSIM_AUTH_TOKEN } = credentials;
  expect(await out.take((line) => line.startsWith('Twilio'))).toBe(
    `Twilio     SUPERSIM_ACCOUNT_SID=${SUPERSIM_ACCOUNT_SID} SUPERSIM_AUTH_TOKEN=${SUPERSIM_AUTH_TOKEN}`,
  );
  expect(await out.take((line) => line.startsWith('webhooks'))).toMatch(/^webhooks {3}KORE’s, .*=[\da-f]{32}$/);
  expect(await out.take((line) => line.startsWith('SIM'))).toContain('gateway-1 at 127.0.0.2');
  expect(await out.take((line) => line.includes('curl'))).toContain(`${url}/v1/IpCommands -u `);
  await out.take((line) => line.startsWith('ready'));
  const loopback = { url, accountSid: credentials.SUPERSIM_ACCOUNT_SID, authToken: 'secret' };
  const { port, next, send } = await device();
  const form = { Sim: 'gateway-1', Payload: 'ping', DevicePort: `${port}` };
  expect(await post(loopback, '/v1/IpCommands', form)).toMatchObject({ status: 201 });
  await next();
  await out.take((line) => line.endsWith(`→ gateway-1:${port} sent 4 bytes "ping"`));
  const [, gateway = ''] =
    /^gateway +127\.0\.0\.1:(\d+) /.exec(await out.take((line) => line.startsWith('gateway'))) ?? [];
  await send('pong', { address: '127.0.0.1', port: Number(gateway) });
  await out.take((line) => line.endsWith(`← gateway-1:${port} received 4 bytes "pong"`));
  const exit = exitOf(child);
  child.kill(signal);
  expect(await exit).toBe(0);
  expect(err.items).toEqual([]);
});

test('supersim loopback takes SIMs from a file, and assumptions and the source port from options', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'loopback-'));
  onTestFinished(() => rm(folder, { recursive: true }));
  const file = join(folder, 'sims.yaml');
  await writeFile(file, '- name: pump\n- name: valve\n  address: 127.0.0.8\n');
  const options = [
    '--sims',
    file,
    '--source-port',
    'gateway',
    '--assume',
    'pageSizeOverMax=clamp',
    '--assume',
    'badPort=422/83400',
  ];
  const { out } = run([...anyPorts, ...options], credentials);
  const [, url = ''] = /^API +(http\S+)$/.exec(await out.take((line) => line.startsWith('API'))) ?? [];
  const gateway = await out.take((line) => line.startsWith('gateway'));
  await out.take((line) => line.includes('valve at 127.0.0.8'));
  await out.take((line) => line.startsWith('ready'));
  const loopback = { url, accountSid: credentials.SUPERSIM_ACCOUNT_SID, authToken: 'secret' };
  expect(await get(loopback, '/v1/IpCommands?PageSize=2000')).toMatchObject({ status: 200 });
  const { port, next } = await device('127.0.0.8');
  const form = { Sim: 'valve', Payload: 'x', DevicePort: `${port}` };
  expect(await post(loopback, '/v1/IpCommands', { ...form, DevicePort: 'x' })).toMatchObject({ status: 422 });
  await post(loopback, '/v1/IpCommands', form);
  expect(gateway).toContain(`:${(await next()).from.port} `);
});

test('supersim loopback takes a number of SIMs, and faults of the API', async () => {
  const { out } = run([...anyPorts, '--sims', '10000', '--api-faults', 'busy=#1'], credentials);
  const [, url = ''] = /^API +(http\S+)$/.exec(await out.take((line) => line.startsWith('API'))) ?? [];
  expect(await out.take((line) => line.startsWith('SIM'))).toContain('gateway-1 at 127.0.0.2');
  await out.take((line) => line.includes('and 9980 more'));
  await out.take((line) => line.includes('of the API: busy=#1'));
  await out.take((line) => line.startsWith('ready'));
  const loopback = { url, accountSid: credentials.SUPERSIM_ACCOUNT_SID, authToken: 'secret' };
  expect(await get(loopback, '/v1/Sims/gateway-1')).toMatchObject({ status: 429 });
  expect(await get(loopback, '/v1/Sims/gateway-10000')).toMatchObject({ status: 200 });
});

test('supersim loopback prints the faults and their seed at the start, hits as they come, and counts at the end', async () => {
  const { child, out } = run([...anyPorts, '--faults', 'down.loss=#1,down.duplicate=#2', '--seed', '42'], credentials);
  const [, url = ''] = /^API +(http\S+)$/.exec(await out.take((line) => line.startsWith('API'))) ?? [];
  expect(await out.take((line) => line.startsWith('faults'))).toBe(
    'faults     down.loss=#1,down.duplicate=#2 (seed 42)',
  );
  await out.take((line) => line.startsWith('ready'));
  const loopback = { url, accountSid: credentials.SUPERSIM_ACCOUNT_SID, authToken: 'secret' };
  const { port, next } = await device();
  const form = { Sim: 'gateway-1', DevicePort: `${port}` };
  await post(loopback, '/v1/IpCommands', { ...form, Payload: 'lost' });
  await out.take((line) => line.endsWith(' fault down 1 → gateway-1 4 bytes lost'));
  await out.take((line) => line.endsWith(`→ gateway-1:${port} sent 4 bytes "lost"`));
  await post(loopback, '/v1/IpCommands', { ...form, Payload: 'twice' });
  await out.take((line) => line.endsWith(' fault down 2 → gateway-1 5 bytes duplicated 0 ms'));
  expect([(await next()).bytes.toString(), (await next()).bytes.toString()]).toEqual(['twice', 'twice']);
  child.kill('SIGTERM');
  expect(await out.take((line) => line.startsWith('faults'))).toBe('faults     1 lost, 1 duplicated (seed 42)');
});

test('supersim loopback prints the seed also without faults', async () => {
  const { out } = run(anyPorts);
  expect(await out.take((line) => line.startsWith('faults'))).toMatch(/^faults +none \(seed \d+\)$/);
});

test('supersim loopback makes random credentials if the environment has none', async () => {
  const { out } = run(anyPorts);
  expect(await out.take((line) => line.startsWith('Twilio'))).toMatch(/_SID=AC[0-9a-f]{32} .*_TOKEN=[0-9a-f]{32}$/);
});

test('supersim loopback prints code, address and remedy of a port in use, exits with 1, and is never ready', async () => {
  const taken = await start();
  const port = new URL(taken.url).port;
  const { child, out, err } = run(['--http-port', port, '--gateway', '127.0.0.1:0']);
  expect(await exitOf(child)).toBe(1);
  expect(err.items).toEqual([
    `error port-in-use: another process listens on 127.0.0.1:${port} (TCP)`,
    expect.stringContaining('ss -'),
  ]);
  expect(out.items).toEqual([]);
});

describe('supersim loopback --modem', () => {
  test('makes a tty with its link, faults and quirks, and prints its events', async () => {
    const link = join(temporaryFolder(), 'modem');
    const options = ['--modem-path', link, '--modem-baud', '115200', '--modem-sim', 'hat'];
    const faults = ['--modem-faults', 'sendBusy=#1', '--modem-quirk', 'model=EC25', '--seed', '5'];
    const { child, out } = run([...anyPorts, '--modem', 'quectel', ...options, ...faults]);
    const modem = await out.take((line) => line.startsWith('modem'));
    expect(modem).toMatch(/^modem +quectel at \S+ \(now \/dev\/\S+\), with the SIM hat$/);
    expect(await out.take((line) => line.includes('faults sendBusy'))).toMatch(/ faults sendBusy=#1 \(seed 5\)$/);
    await out.take((line) => line.endsWith('SIM hat is active'));
    const port = openPort(link);
    expect(await port.ask('AT+CGMM\r')).toContain('\r\nEC25\r\n');
    await out.take((line) => line.endsWith(' modem AT+CGMM → OK'));
    await out.take((line) => line.endsWith(` modem tty opened by process ${process.pid}`));
    child.kill('SIGTERM');
    expect(await exitOf(child)).toBe(0);
    expect(() => lstatSync(link)).toThrow(expect.objectContaining({ code: 'ENOENT' }));
    expect(port.read()).toBeUndefined();
  });

  test('leaves no terminal behind, however it ends', async () => {
    const { child, out } = run([...anyPorts, '--modem', 'ublox']);
    const [, path = ''] = /at (\S+),/.exec(await out.take((line) => line.startsWith('modem'))) ?? [];
    const port = openPort(path);
    child.kill('SIGKILL');
    await exitOf(child);
    expect(port.read()).toBeUndefined();
  });
});

test.each([
  [['--modem', 'quectel', '--modem-baud', '7']],
  [['--modem', 'quectel', '--modem-faults', 'urcLos=1']],
  [['--modem', 'quectel', '--modem-quirk', 'model=3310']],
  [['--modem', 'quectel', '--modem-quirk', 'model']],
  [['--gateway', 'localhost']],
  [['--gateway', '127.0.0.1:99999']],
  [['--http-port', 'x']],
  [['--faults', 'los=0.2']],
  [['--faults', 'loss']],
  [['--seed', '-1']],
  [['--seed', 'x']],
  [['--assume', 'sizeRule=both']],
  [['--assume', 'sizeRule']],
  [['--sims', '/nowhere/sims.yaml']],
])('supersim loopback %j is bad input and exits with 1', async (args) => {
  const { child, err } = run(args);
  expect(await exitOf(child)).toBe(1);
  expect(err.items[0]).toMatch(/^error bad-input: /);
  expect(err.items).toHaveLength(2);
});
