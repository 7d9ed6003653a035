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

it('is for its owner and its group, and the only file there', async () => {
  const { path } = await openControl();
  expect((lstatSync(path).mode & 0o7777).toString(8)).toBe('660');
  expect(readdirSync(dirname(path))).toEqual(['control.sock']);
});

it('is gone when the socket has stopped', async () => {
  const { path, control } = await openControl();
  await control.stop();
  expect(readdirSync(dirname(path))).toEqual([]);
});

it('is made with its folder, if that can be made', async () => {
  const folder = join(temporaryFolder(), 'run');
  await openControl({ path: join(folder, 'control.sock') });
  expect((lstatSync(folder).mode & 0o7777).toString(8)).toBe('750');
  const deeper = createControlSocket({ path: join(folder, 'a', 'b', 'c'), target: fakeTarget(), log: silentLog });
  await expect(deeper.start()).rejects.toMatchObject({ code: 'ENOENT' });
  await deeper.stop();
});

it('replaces the file of an agent that is gone', async () => {
  const path = newPath();
  leaveStaleFile(path);
  expect(lstatSync(path).isSocket()).toBe(true);
  await openControl({ path });
  expect((await ask(path, 'GET', '/status')).status).toBe(200);
});

it('leaves a live one alone, and names it', async () => {
  const { path } = await openControl();
  const second = createControlSocket({ path, target: fakeTarget(), log: silentLog });
  await expect(second.start()).rejects.toMatchObject({ code: 'port-in-use', message: expect.stringContaining(path) });
  await second.stop();
  expect((await ask(path, 'GET', '/status')).status).toBe(200);
  expect(readdirSync(dirname(path))).toEqual(['control.sock']);
});

it('leaves a live one alone that answers nobody', async () => {
  const path = newPath();
  const server = createServer({ pauseOnConnect: true });
  await new Promise<void>((resolve) => server.listen(path, resolve));
  onTestFinished(() => void server.close());
  server.on('connection', (socket) => socket.destroy());
  await expect(openControl({ path })).rejects.toMatchObject({ code: 'port-in-use' });
});

it('leaves alone what is no socket', async () => {
  const path = writeFile(temporaryFolder(), 'control.sock', 'precious');
  await expect(openControl({ path })).rejects.toMatchObject({ code: 'bad-input' });
  expect(readFileSync(path, 'utf8')).toBe('precious');
});

it('is not removed at the stop when it has become somebody else’s', async () => {
  const { path, control } = await openControl();
  renameSync(path, `${path}.old`);
  await openControl({ path });
  await control.stop();
  expect((await ask(path, 'GET', '/status')).status).toBe(200);
});

it('may be gone at the stop', async () => {
  const { path, control } = await openControl();
  renameSync(path, `${path}.old`);
  await control.stop();
  expect(existsSync(path)).toBe(false);
});

it('has a path that fits into a socket’s address', async () => {
  const folder = temporaryFolder();
  const ofLength = (length: number) => join(folder, 'x'.repeat(length - folder.length - 1));
  await expect(openControl({ path: ofLength(100) })).rejects.toMatchObject({ code: 'bad-input' });
  const { path } = await openControl({ path: ofLength(99) });
  expect((await ask(path, 'GET', '/status')).status).toBe(200);
});

it('can be stopped before it is started, and while it starts', async () => {
  const path = newPath();
  await createControlSocket({ path, target: fakeTarget(), log: silentLog }).stop();
  const control = createControlSocket({ path, target: fakeTarget(), log: silentLog });
  const started = control.start();
  await control.stop();
  await started;
  expect(readdirSync(dirname(path))).toEqual([]);
});

it('is in the service’s own folder by default', () => {
  expect(defaultControlSocket({})).toBe('/run/supersim-agent/control.sock');
  expect(defaultControlSocket({ RUNTIME_DIRECTORY: '/run/a:/run/b' })).toBe('/run/a/control.sock');
});
