import { chmodSync, existsSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { describe, expect, it, test } from 'vitest';
import type { ConfigInput } from '../../agent/config/schema.js';
import { statusSchema } from '../../agent/service/control/schema.js';
import { supersimAgentAsNobody } from '../agent/cli/support.js';
import { linesOf } from '../support/device.js';
import { temporaryFolder, writeFile, writeScript } from '../support/files.js';
import { needs } from '../support/needs.js';
import { linkPath } from '../support/pty.js';
import { startReloadable, writeModule } from '../support/reload.js';
import { startTestLoopback } from '../support/round-trip.js';
import { openPeer, randomAddress } from '../support/udp.js';

const RELOADS = 100;
/** Most commands without an answer: less than one address's share of the queue. */
const IN_FLIGHT = 100;
const LONG_MS = 120_000;

const word = (text: string) => ({ program: [writeScript(`echo ${text}`)] });

test('a stream of commands meets a hundred reloads, good ones and bad: each is answered once, and runs once', {
  timeout: LONG_MS,
}, async () => {
  const modules = [writeModule(temporaryFolder(), 0)];
  const folder = dirname(modules[0] ?? '');
  const { agent, device, write, writeText, reload, ask, gateway } = await startReloadable({ modules });
  const peer = await openPeer();
  await gateway.send('{"id":"long","method":"hold"}', device);
  await expect.poll(() => existsSync(join(folder, 'held'))).toBe(true);

  const answers: { readonly id: number; readonly first: number; readonly second: number }[] = [];
  let sent = 0;
  let streaming = true;
  const sending = (async () => {
    while (streaming) {
      if (sent - answers.length < IN_FLIGHT) {
        sent++;
        await peer.send(JSON.stringify({ id: sent, method: 'count', params: { n: sent } }), device);
      }
      await new Promise((resolve) => setTimeout(resolve, 1));
    }
  })();
  const receiving = (async () => {
    while (streaming || answers.length < sent) {
      const { id, result } = JSON.parse((await peer.next()).bytes.toString());
      expect(result).toMatchObject({ n: id });
      answers.push({ id, ...result });
    }
  })();

  const bad: readonly (() => ConfigInput | string)[] = [
    () => 'limits: {running: 0}',
    () => 'allow: [',
    () => ({ modules, handlers: { word: { program: ['/nowhere'] } } }),
    () => ({ modules: [...modules, '/nowhere.mjs'] }),
    () => ({ modules: [writeFile(temporaryFolder(), 'broken.mjs', 'export default {')] }),
  ];
  let edition = 0;
  for (let n = 1; n <= RELOADS; n++) {
    if (n % 3 === 0) {
      const next = bad[n % bad.length]?.() ?? '';
      if (typeof next === 'string') writeText(next);
      else write(next);
      await expect(reload()).rejects.toMatchObject({ code: /^(?:config-|handler-invalid)/ });
    } else {
      edition = n;
      // Now the one file, now the other.
      writeModule(folder, n % 2 === 0 ? n : n - 1, n);
      write({
        modules,
        handlers: { word: word(`w${n}`) },
        limits: { running: 64 + n },
        allow: ['127.0.0.0/8', `10.${n}.0.0/16`],
      });
      expect(await reload()).toMatchObject({ changed: expect.arrayContaining(['limits.running']), modules });
    }
    const probe = JSON.parse(
      (await gateway.ask(`{"id":"p${n}","method":"count","params":{"n":0}}`, device)).toString(),
    );
    expect(probe).toMatchObject({ id: `p${n}`, result: { second: edition } });
  }
  streaming = false;
  await Promise.all([sending, receiving]);

  expect(sent).toBeGreaterThan(RELOADS);
  expect(answers.map(({ id }) => id).sort((a, b) => a - b)).toEqual(Array.from({ length: sent }, (_, n) => n + 1));
  const runs = linesOf(join(folder, 'runs'))
    .map(Number)
    .filter((n) => n !== 0);
  expect(runs.sort((a, b) => a - b)).toEqual(Array.from({ length: sent }, (_, n) => n + 1));
  expect(await peer.everythingSoFar()).toEqual([]);
  const status = await ask('GET', '/status', statusSchema);
  expect(status).toMatchObject({ kernelDrops: 0, counters: { malformed: 0, refusedSource: 0, repeats: 0 } });

  // It is known by what it was before all this, and goes on with that.
  await gateway.send('{"id":"long","method":"hold"}', device);
  expect(JSON.parse((await gateway.next()).bytes.toString())).toMatchObject({ id: 'long', repeat: true });
  writeFile(folder, 'go', '');
  expect(JSON.parse((await gateway.next()).bytes.toString())).toMatchObject({ result: { first: 0, second: 0 } });
  expect(linesOf(join(folder, 'held'))).toHaveLength(1);
  agent.kill('SIGTERM');
  expect(await agent.ended).toBe(0);
});

describe('SIGHUP', () => {
  it('reloads, and says in the log what came of it', async () => {
    const { agent, write, writeText, gateway, device, file, log } = await startReloadable();
    write({ handlers: { word: word('new') }, listen: { ports: [6969, 7000] } });
    agent.kill('SIGHUP');
    await agent.line(/"configuration reloaded"/);
    expect((await gateway.ask('word', device)).toString()).toBe('ok new');
    expect(log()).toContainEqual(
      expect.objectContaining({ msg: 'configuration reloaded', changed: ['handlers.word'], level: 'warn' }),
    );
    writeText('allow: [127.0.0.0/8]\nlimits:\n  runing: 3\n');
    agent.kill('SIGHUP');
    await agent.line(/"configuration not reloaded"/);
    expect(log()).toContainEqual(
      expect.objectContaining({
        level: 'error',
        code: 'config-invalid',
        error: expect.stringContaining(`${file}:3:3`),
      }),
    );
    expect((await gateway.ask('#2 word', device)).toString()).toBe('#2 ok new');
  });

  it('does no harm by the hundred, nor while the agent starts or stops', async () => {
    const slow = writeFile(
      temporaryFolder(),
      'slow.mjs',
      `console.log('"loading"'); await new Promise((go) => setTimeout(go, 500)); export default { name: 'a', description: '', run() {} };`,
    );
    const starting = startReloadable({ modules: [slow] });
    const { agent, gateway, device } = await starting;
    for (let n = 0; n < 300; n++) agent.kill('SIGHUP');
    await agent.line(/"configuration reloaded"/);
    expect((await gateway.ask('ping', device)).toString()).toBe('ok pong');
    agent.kill('SIGHUP');
    agent.kill('SIGTERM');
    for (let n = 0; n < 20; n++) agent.kill('SIGHUP');
    expect(await agent.ended).toBe(0);
  });
});

describe('supersim-agent reload', () => {
  it('tells what changed, what was loaded anew, and what needs a restart; exit code 0', async () => {
    const folder = temporaryFolder();
    const modules = [writeModule(folder, 1)];
    const { write, cli } = await startReloadable({ modules });
    expect(await cli('reload')).toEqual({ code: 0, output: 'Nothing has changed.' });
    writeModule(folder, 1, 2);
    write({ modules, limits: { running: 3 }, journal: { entries: 99 } });
    const { code, output } = await cli('reload');
    expect(code).toBe(0);
    expect(output.split('\n')).toEqual([
      'Changed: limits.running',
      `Modules loaded again: ${modules[0]}`,
      'Needs a restart: journal.entries',
    ]);
    const json = await cli('reload', '--json');
    expect(JSON.parse(json.output)).toEqual({ changed: [], needsRestart: ['journal.entries'], modules: [] });
  });

  it('names the bad line, and ends with exit code 1; the agent goes on', async () => {
    const { writeText, cli, file, gateway, device } = await startReloadable();
    writeText('# mine\nallow: [127.0.0.0/8]\nlimits:\n  running: many\n  stop: 1h\n');
    const { code, output } = await cli('reload');
    expect(code).toBe(1);
    expect(output).toMatch(/^error config-invalid: /);
    for (const line of ['4:3: limits.running', '5:3: limits.stop']) expect(output).toContain(`${file}:${line}`);
    writeText('limits: {running: 3\n');
    expect((await cli('reload')).output).toMatch(/^error config-unreadable: .*config\.yaml:\d+:\d+/);
    expect((await gateway.ask('ping', device)).toString()).toBe('ok pong');
  });

  it('names each handler that cannot be used', async () => {
    const { write, cli } = await startReloadable();
    write({ handlers: { gone: { program: ['/nowhere'] } }, modules: ['/nowhere.mjs'] });
    const reloaded = await cli('reload');
    expect(reloaded.code).toBe(1);
    expect(reloaded.output).toMatch(/^error handler-invalid: .*\/nowhere\.mjs.*\n.*gone/);
  });

  it('tries a module again that could not be loaded, once what it wants is there', async () => {
    const folder = temporaryFolder();
    const text = `import { word } from './late.mjs'; export default { name: 'late', description: '', run: () => word };`;
    const modules = [writeFile(folder, 'early.mjs', text)];
    const { write, reload, gateway, device } = await startReloadable();
    write({ modules });
    for (const wrong of [undefined, 'export const word =', 'throw new Error("not yet")', 'export const other = 1;']) {
      if (wrong !== undefined) writeFile(folder, 'late.mjs', wrong);
      await expect(reload()).rejects.toMatchObject({ code: 'handler-invalid' });
      await expect(reload()).rejects.toMatchObject({ code: 'handler-invalid' });
    }
    expect((await gateway.ask('#1 late', device)).toString()).toContain('unknown-command');
    writeFile(folder, 'late.mjs', `export const word = 'there';`);
    expect((await reload()).changed).toEqual(['modules']);
    expect((await gateway.ask('#2 late', device)).toString()).toBe('#2 ok there');
  });

  it.skipIf(needs('root'))('is refused to a user without rights, and so is loglevel', async () => {
    const { socket, folder, log } = await startReloadable();
    chmodSync(folder, 0o755);
    const runAsNobody = supersimAgentAsNobody();
    for (const words of [['reload'], ['loglevel', 'trace']]) {
      const refused = await runAsNobody([...words, '--socket', socket]);
      expect(refused.code).toBe(1);
      expect(refused.stderr).toMatch(/^error control-forbidden: /);
    }
    expect(log().map(({ msg }) => msg)).not.toContain('configuration reloaded');
  });
});

describe('supersim-agent loglevel', () => {
  it('shows and sets the level, until the next reload', async () => {
    const { cli, gateway, device, agent, log, reload } = await startReloadable();
    const commands = () => log().filter(({ msg }) => msg === 'command').length;
    expect(await cli('loglevel')).toEqual({ code: 0, output: 'The log level is info.' });
    expect((await cli('loglevel', 'warn')).output).toMatch(/^The log level is warn, until the next reload/);
    await gateway.ask('#1 ping', device);
    expect(JSON.parse((await cli('loglevel', '--json')).output)).toEqual({ level: 'warn', configured: 'info' });
    expect(commands()).toBe(0);
    await cli('loglevel', 'trace');
    await gateway.ask('#2 ping', device);
    await agent.line(/"datagram in"/);
    await reload();
    expect((await cli('loglevel')).output).toBe('The log level is info.');
    await gateway.ask('#3 ping', device);
    await agent.line(/"id":"3"/);
    expect([commands(), log().filter(({ msg }) => msg === 'datagram in')]).toMatchObject([2, { length: 1 }]);
    const wrong = await cli('loglevel', 'loud');
    expect(wrong.code).toBe(2);
    expect(wrong.output).toContain('fatal, error, warn');
  });

  it('of the file is taken up, and a flag’s stays above it', async () => {
    const { write, reload, cli } = await startReloadable();
    write({ log: { level: 'debug' } });
    expect((await reload()).changed).toEqual(['log.level']);
    expect((await cli('loglevel')).output).toBe('The log level is debug.');
  });

  it('of a flag or a variable stays above the file’s, and --dev goes on letting this machine in', async () => {
    const address = randomAddress();
    const args = ['--dev', '--address', address, '--log-level', 'info'];
    const env = { SUPERSIM_AGENT_LIMITS_RUNNING: '7' };
    const { write, reload, cli, gateway, device } = await startReloadable({}, { args, env, address });
    write({ log: { level: 'error' }, limits: { running: 5 }, allow: ['10.0.0.0/8'] });
    expect(await reload()).toMatchObject({ changed: ['allow'], needsRestart: [] });
    expect((await cli('loglevel')).output).toBe('The log level is info.');
    expect((await gateway.ask('ping', device)).toString()).toBe('ok pong');
  });
});

test.skipIf(needs('node-pty'))(
  'other settings of the modem are taken up while commands come by UDP, and not one of those is lost',
  { timeout: LONG_MS },
  async () => {
    const path = linkPath();
    await startTestLoopback({ modem: { dialect: 'quectel', path } });
    const base: ConfigInput = { link: { downFor: '1s', interface: 'lo' }, allow: ['127.0.0.0/8', '100.64.0.0/10'] };
    const { write, reload, device, ask, cli, agent } = await startReloadable(base);
    const peer = await openPeer();
    const link = async () =>
      (await ask('GET', '/status', statusSchema)).link?.links.find(({ name }) => name === 'modem');
    const up = () => expect.poll(link, { timeout: 30_000, interval: 100 }).toMatchObject({ up: true });
    let sent = 0;
    let streaming = true;
    const asking = (async () => {
      for (; streaming; sent++) {
        expect((await peer.ask(`#${sent} ping`, device)).toString()).toBe(`#${sent} ok pong`);
      }
    })();
    expect((await cli('modem', 'log')).output).toContain('no-modem');
    write({ ...base, modem: { path, apn: 'wrong.apn' } });
    expect((await reload()).changed).toEqual(['modem.apn', 'modem.path']);
    await agent.line(/"rung":"context".*"modem recovery"/);
    expect(await link()).toMatchObject({ up: false });
    write({ ...base, modem: { path } });
    expect((await reload()).changed).toEqual(['modem.apn']);
    await up();
    expect((await cli('modem', 'at', 'AT+QICSGP=1')).output).toContain('"super"');
    write({ ...base, modem: { path, baudRate: 230_400 } });
    expect((await reload()).changed).toEqual(['modem.baudRate']);
    expect(await link()).toMatchObject({ up: false });
    await up();
    write({ ...base, modem: { path, baudRate: 230_400 }, link: { ...base.link, policy: 'udp' } });
    await reload();
    expect(await link()).toBeUndefined();
    expect((await cli('modem', 'log')).output).toContain('no-modem');
    const before = sent;
    await expect.poll(() => sent).toBeGreaterThan(before + 10);
    streaming = false;
    await asking;
    const { counters, kernelDrops } = await ask('GET', '/status', statusSchema);
    expect({ received: counters.received, sent: counters.sent, kernelDrops }).toEqual({
      received: sent,
      sent,
      kernelDrops: 0,
    });
    agent.kill('SIGTERM');
    expect(await agent.ended).toBe(0);
  },
);
