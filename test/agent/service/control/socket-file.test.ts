import { spawnSync } from 'node:child_process';
import { existsSync, lstatSync, readdirSync, readFileSync, renameSync } from 'node:fs';
import { createServer } from 'node:net';
import { dirname, join } from 'node:path';
import { expect, it, onTestFinished } from 'vitest';
import { silentLog } from '../../../../agent/base/log.js';
import { defaultControlSocket } from '../../../../agent/service/control/schema.js';
import { createControlSocket } from '../../../../agent/service/control/socket.js';
import { temporaryFolder, writeFile } from '../../../support/files.js';
import { ask, fakeTarget, openControl } from './support.js';

const newPath = () => join(temporaryFolder(), 'control.sock');

/** What a process leaves behind that had no time to clean up. */
function leaveStaleFile(path: string): void {
  const script = `require('net').createServer().listen(${JSON.stringify(path)}, () => process.kill(process.pid, 'SIGKILL'))`;
  spawnSync(process.execPath, ['-e', script]);
}

it('the socket file is accessible to owner and group, and the only file in its folder', async () => {
  const { path } = await openControl();
  expect((lstatSync(path).mode & 0o7777).toString(8)).toBe('660');
  expect(readdirSync(dirname(path))).toEqual(['control.sock']);
});

it('the socket file is removed at the stop', async () => {
  const { path, control } = await openControl();
  await control.stop();
  expect(readdirSync(dirname(path))).toEqual([]);
});

it('the socket file’s folder is created if possible', async () => {
  const folder = join(temporaryFolder(), 'run');
  await openControl({ path: join(folder, 'control.sock') });
  expect((lstatSync(folder).mode & 0o7777).toString(8)).toBe('750');
  const deeper = createControlSocket({ path: join(folder, 'a', 'b', 'c'), target: fakeTarget(), log: silentLog });
  await expect(deeper.start()).rejects.toMatchObject({ code: 'ENOENT' });
  await deeper.stop();
});

it('the socket file of an ended agent is replaced', async () => {
  const path = newPath();
  leaveStaleFile(path);
  expect(lstatSync(path).isSocket()).toBe(true);
  await openControl({ path });
  expect((await ask(path, 'GET', '/status')).status).toBe(200);
});

it('the socket file of a running agent is kept and named', async () => {
  const { path } = await openControl();
  const second = createControlSocket({ path, target: fakeTarget(), log: silentLog });
  await expect(second.start()).rejects.toMatchObject({ code: 'port-in-use', message: expect.stringContaining(path) });
  await second.stop();
  expect((await ask(path, 'GET', '/status')).status).toBe(200);
  expect(readdirSync(dirname(path))).toEqual(['control.sock']);
});

it('the socket file of a listener that accepts nobody is kept', async () => {
  const path = newPath();
  const server = createServer({ pauseOnConnect: true });
  await new Promise<void>((resolve) => server.listen(path, resolve));
  onTestFinished(() => void server.close());
  server.on('connection', (socket) => socket.destroy());
  await expect(openControl({ path })).rejects.toMatchObject({ code: 'port-in-use' });
});

it('a file that is not a socket is kept', async () => {
  const path = writeFile(temporaryFolder(), 'control.sock', 'precious');
  await expect(openControl({ path })).rejects.toMatchObject({ code: 'bad-input' });
  expect(readFileSync(path, 'utf8')).toBe('precious');
});

it('a socket file that was replaced is kept at the stop', async () => {
  const { path, control } = await openControl();
  renameSync(path, `${path}.old`);
  await openControl({ path });
  await control.stop();
  expect((await ask(path, 'GET', '/status')).status).toBe(200);
});

it('a removed socket file does no harm at the stop', async () => {
  const { path, control } = await openControl();
  renameSync(path, `${path}.old`);
  await control.stop();
  expect(existsSync(path)).toBe(false);
});

it('a socket path that is too long is refused', async () => {
  const folder = temporaryFolder();
  const ofLength = (length: number) => join(folder, 'x'.repeat(length - folder.length - 1));
  await expect(openControl({ path: ofLength(100) })).rejects.toMatchObject({ code: 'bad-input' });
  const { path } = await openControl({ path: ofLength(99) });
  expect((await ask(path, 'GET', '/status')).status).toBe(200);
});

it('a control socket can be stopped before and during its start', async () => {
  const path = newPath();
  await createControlSocket({ path, target: fakeTarget(), log: silentLog }).stop();
  const control = createControlSocket({ path, target: fakeTarget(), log: silentLog });
  const started = control.start();
  await control.stop();
  await started;
  expect(readdirSync(dirname(path))).toEqual([]);
});

it('the default socket is in the service’s runtime directory', () => {
  expect(defaultControlSocket({})).toBe('/run/supersim-agent/control.sock');
  expect(defaultControlSocket({ RUNTIME_DIRECTORY: '/run/a:/run/b' })).toBe('/run/a/control.sock');
});
