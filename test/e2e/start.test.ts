import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { readdirSync, readFileSync, statSync } from 'node:fs';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { describe, expect, onTestFinished, test } from 'vitest';
import * as z from 'zod';
import { systemCodeOf } from '../../shared/errors.js';
import { temporaryFolder } from '../support/files.js';
import { needs } from '../support/needs.js';
import { program, runProcess, startProcess } from '../support/process.js';

const runOnce = (...args: string[]) => runProcess(process.execPath, [program('start'), '--once', ...args]);

/** Takes a UDP port until the test has finished; another program that has it already is as good. */
async function takeUdp(port: number, address: string): Promise<void> {
  const socket = createSocket('udp4').bind(port, address);
  onTestFinished(() => void socket.close());
  await once(socket, 'listening').catch(acceptTaken);
}

async function takeTcp(port: number, address: string): Promise<void> {
  const server = createServer().listen(port, address);
  onTestFinished(() => void server.close());
  await once(server, 'listening').catch(acceptTaken);
}

function acceptTaken(error: unknown): void {
  if (systemCodeOf(error) !== 'EADDRINUSE') throw error;
}

/** The environment of a process whose temporary files lie in a folder of their own. */
function withTemporaryFolder(more: NodeJS.ProcessEnv = {}) {
  const folder = temporaryFolder();
  return { folder, env: { ...process.env, ...more, TMPDIR: folder } };
}

/** The steps of the protected probe, as far as they are the same each time. */
const PROTECTED_STEPS = [
  /POST .* Sim=gateway-1 DevicePort=\d+ Payload=\(\d+ bytes\)$/,
  /API {2}HG\w+ is queued$/,
  /UDP {2}→ \S+, HG\w+ is sent, protected$/,
  /UDP {2}← \S+, \d+ bytes, HG\w+ is received, protected$/,
  /GET .* from_sim opened: 4\.01 with Echo, as the device does not know yet that this is new$/,
  /POST .* Sim=gateway-1 DevicePort=\d+ Payload=\(\d+ bytes\)$/,
  /API {2}HG\w+ is queued$/,
  /UDP {2}→ \S+, HG\w+ is sent, protected$/,
  /UDP {2}← \S+, \d+ bytes, HG\w+ is received, protected$/,
  /GET .* from_sim opened: health is done, authentic: \{"load1":/,
];

/** Expects the protected probe's steps after those of the ping, and the line on what needs the key. */
function expectProtectedProbe(output: string): void {
  const steps = output.split('\n').filter((line) => /^ +\d+\.\d ms {2}/.test(line));
  const begin = steps.findIndex((step) => step.includes('"#probe ok pong"')) + 1;
  expect(begin).toBeGreaterThan(0);
  expect(steps.slice(begin)).toEqual(PROTECTED_STEPS.map((step) => expect.stringMatching(step)));
  expect(output).toMatch(
    /^commands without a key are refused in this demo, without an answer, except: commands, echo, info, ping$/m,
  );
}

/** The agent's endpoint, as printed. */
const agentEndpoint = (output: string) => /^agent: (\S+) \(UDP\)$/m.exec(output)?.[1];

/** One after the other, so that the first can have the default ports where no other program has them. */
describe.sequential('npm start', () => {
  test('with --once it shows the steps of a round trip and ends with 0', async () => {
    const { code, output } = await runOnce();
    expect(output).toMatch(/^loopback: API http:\/\/127\.0\.0\.1:\d+, gateway 127\.0\.0\.1:\d+ \(UDP\)$/m);
    const device = agentEndpoint(output);
    expect(device).toMatch(/^127\.0\.0\.\d+:\d+$/);
    expect(output).toMatch(/ms {2}POST .*Payload="#probe ping"/);
    expect(output).toMatch(/ms {2}UDP {2}→ \S+, HG[0-9a-f]{32} is sent/);
    expect(output).toContain(`UDP  → ${device}, `);
    expect(output).toMatch(/ms {2}UDP {2}← \S+, 14 bytes, HG[0-9a-f]{32} is received/);
    expect(output).toContain(`UDP  ← ${device}, `);
    expect(output).toMatch(/ms {2}GET .*from_sim "#probe ok pong"/);
    expectProtectedProbe(output);
    expect(code).toBe(0);
  });

  test('without --once it stays up, its curl line can be pasted, and Ctrl-C ends it with 0', async () => {
    const start = startProcess(process.execPath, [program('start')]);
    await start.line(/^ready$/);
    expect(start.output()).toMatch(/^Twilio {5}SUPERSIM_ACCOUNT_SID=\S+ SUPERSIM_AUTH_TOKEN=\S+$/m);
    const curl = (await start.line(/^ +curl /)).trim();
    const { code, output } = await runProcess('sh', ['-c', `${curl} --silent --show-error`]);
    expect(code).toBe(0);
    expect(JSON.parse(output)).toMatchObject({
      status: 'queued',
      direction: 'to_sim',
      payload: 'ping',
      device_ip: null,
    });
    await start.line(/← gateway-1:\d+ received 7 bytes "ok pong"/);
    start.kill('SIGINT');
    expect(await start.ended).toBe(0);
  });

  test('the lines for a protected command can be pasted into another shell', async () => {
    const start = startProcess(process.execPath, [program('start')]);
    await start.line(/^ready$/);
    const variables = (await start.line(/^ {2}export SUPERSIM_API_URL=/)).trim();
    const command = (await start.line(/^ {2}node .* request --sim gateway-1/)).trim();
    const { code, output } = await runProcess('sh', ['-c', `${variables}\n${command} --json`]);
    expect(JSON.parse(output)).toMatchObject({ outcome: 'done', authentic: true, result: { journal: 'ok' } });
    expect(code).toBe(0);
    start.kill('SIGINT');
    expect(await start.ended).toBe(0);
  });

  test('its key is a file that only its owner can read, shown nowhere, and gone after several signals', async () => {
    const { folder, env } = withTemporaryFolder({ SUPERSIM_AGENT_LOG_LEVEL: 'trace' });
    const start = startProcess(process.execPath, [program('start')], env);
    await start.line(/^ready$/);
    const [made = '', ...others] = readdirSync(folder);
    expect(others).toEqual([]);
    const file = join(folder, made, 'keys', 'demo.json');
    expect(statSync(join(folder, made)).mode & 0o777).toBe(0o700);
    expect(statSync(file).mode & 0o777).toBe(0o600);
    const { secret } = z.object({ secret: z.string().length(32) }).parse(JSON.parse(readFileSync(file, 'utf8')));
    start.kill('SIGINT');
    start.kill('SIGINT');
    start.kill('SIGTERM');
    expect(await start.ended).toBe(0);
    expect(start.output().toLowerCase()).not.toContain(secret.toLowerCase());
    expect(start.output()).not.toContain(Buffer.from(secret, 'hex').toString('base64').slice(0, 20));
    expect(readdirSync(folder)).toEqual([]);
  });

  test('without the key only what its last line names is answered', async () => {
    const start = startProcess(process.execPath, [program('start')]);
    await start.line(/^ready$/);
    const curl = (await start.line(/^ +curl /)).trim();
    for (const [id, name] of ['health', 'info', 'commands', 'echo', 'ping'].entries()) {
      const { code } = await runProcess('sh', [
        '-c',
        `${curl.replace(/Payload=ping$/, `Payload='#${id} ${name}'`)} -sS`,
      ]);
      expect(code).toBe(0);
    }
    for (const id of [1, 2, 3, 4]) await start.line(new RegExp(`← gateway-1:\\d+ received \\d+ bytes "#${id} `));
    expect(start.output()).not.toMatch(/← gateway-1:\d+ received \d+ bytes "#0 /);
    start.kill('SIGINT');
    expect(await start.ended).toBe(0);
  });

  test('when nobody reads its output any more it leaves no key behind', async () => {
    const { folder, env } = withTemporaryFolder();
    await runProcess('sh', ['-c', `'${process.execPath}' '${program('start')}' | head -n 3`], env);
    await expect.poll(() => readdirSync(folder)).toEqual([]);
  });

  test('when the agent cannot start it says so, leaves no key behind, and ends with another code', async () => {
    const { folder, env } = withTemporaryFolder({ SUPERSIM_AGENT_LOG_LEVEL: 'loud' });
    const { code, output } = await runProcess(process.execPath, [program('start'), '--once'], env);
    expect(output).toMatch(/error config-invalid: .*SUPERSIM_AGENT_LOG_LEVEL/);
    expect(output).toMatch(/error probe-failed: the agent ended: exit code 1/);
    expect(readdirSync(folder)).toEqual([]);
    expect(code).toBe(1);
  });

  test('when the default ports of the loopback are in use it takes free ones', async () => {
    await takeUdp(6969, '127.0.0.1');
    await takeTcp(8080, '127.0.0.1');
    const { code, output } = await runOnce();
    expect(output).toMatch(/^another process listens on 127\.0\.0\.1:\d+ \((?:UDP|TCP)\); using free ports$/m);
    expect(output).toMatch(/from_sim "#probe ok pong"/);
    expect(code).toBe(0);
  });

  test('when the first addresses are in use its agent listens on the next free one', async () => {
    for (const host of [1, 2, 3, 4, 5]) await takeUdp(6969, `127.0.0.${host}`);
    const { code, output } = await runOnce();
    const [, host] = /^127\.0\.0\.(\d+):6969$/.exec(agentEndpoint(output) ?? '') ?? [];
    expect(Number(host), output).toBeGreaterThan(5);
    expect(output).toMatch(/from_sim "#probe ok pong"/);
    expect(code).toBe(0);
  });

  test('when the default port is in use on all addresses its agent listens on another port', async () => {
    await Promise.all(Array.from({ length: 254 }, (_, index) => takeUdp(6969, `127.0.0.${index + 1}`)));
    const { code, output } = await runOnce();
    expect(agentEndpoint(output)).toMatch(/^127\.0\.0\.2:(?!6969$)\d+$/);
    expect(output).toMatch(/from_sim "#probe ok pong"/);
    expect(code).toBe(0);
  });

  test('three that start at once all come up, each on ports of its own', async () => {
    const all = Array.from({ length: 3 }, () => startProcess(process.execPath, [program('start')]));
    for (const one of all) await one.line(/^ready$/, 40_000);
    const places = all.map((one) => {
      const output = one.output();
      const [, api, gateway] =
        /^loopback: API (\S+), gateway (\S+) \(UDP\)$/m.exec(output.slice(output.lastIndexOf('loopback: API'))) ?? [];
      const agents = [...output.matchAll(/^agent: (\S+) \(UDP\)$/gm)];
      return [api, gateway, agents.at(-1)?.[1]];
    });
    for (const kind of [0, 1, 2]) expect(new Set(places.map((place) => place[kind])).size, `${places}`).toBe(3);
    for (const one of all) one.kill('SIGINT');
    expect(await Promise.all(all.map((one) => one.ended))).toEqual([0, 0, 0]);
  }, 60_000);

  test.skipIf(needs('node-pty'))(
    'with --modem commands and replies go by a virtual modem',
    async () => {
      const { code, output } = await runOnce('--modem', 'quectel');
      expect(output).toMatch(/^virtual modem quectel at \//m);
      expect(output).toMatch(/"transport":"modem"/);
      expect(output).toMatch(/from_sim "#probe ok pong"/);
      expectProtectedProbe(output);
      expect(code).toBe(0);
    },
    40_000,
  );
});
