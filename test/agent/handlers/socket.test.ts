import { chmodSync, chownSync, mkdirSync, renameSync, symlinkSync } from 'node:fs';
import { createServer, type Socket } from 'node:net';
import { join } from 'node:path';
import { describe, expect, it, onTestFinished } from 'vitest';
import { resolveConfig } from '../../../agent/config/load.js';
import { restartHandlers } from '../../../agent/handlers/builtin/restart.js';
import { resolveSafeSocket, socketHandler } from '../../../agent/handlers/socket.js';
import { deferred } from '../../support/deferred.js';
import { temporaryFolder, writeFile } from '../../support/files.js';
import { needs } from '../../support/needs.js';
import { contextFor, socketConfig } from './support.js';

const FLOOD = 50_000_000;
const STRANGER = 4242;

/** Has a service listen on a socket of its own; `talk` is told of each connection. */
async function listen(talk: (socket: Socket) => void, mode = 0o660): Promise<string> {
  const path = join(temporaryFolder(), 'service.sock');
  const sockets: Socket[] = [];
  const server = createServer({ allowHalfOpen: true }, (socket) => {
    sockets.push(socket);
    socket.on('error', () => undefined);
    talk(socket);
  });
  await new Promise<void>((listening) => server.listen(path, listening));
  onTestFinished(() => {
    for (const socket of sockets) socket.destroy();
    server.close();
  });
  chmodSync(path, mode);
  return path;
}

/** A service that reads all, and then answers this and closes the connection. */
const answering = (...pieces: (string | Uint8Array)[]) =>
  listen((socket) => {
    socket.resume().once('end', () => {
      for (const piece of pieces) socket.write(piece);
      socket.end();
    });
  });

type Limits = { outputBytes?: number };

async function call(path: string, params: unknown = {}, limits: Limits = {}, context = contextFor()): Promise<unknown> {
  return socketHandler('tried', socketConfig({ socket: path, ...limits })).run(params, context);
}

describe('what a service writes before its last line ok', () => {
  it.each([
    ['ok\n', ''],
    ['ok', ''],
    ['\nok\n', ''],
    ['12G of 29G\nok\n', '12G of 29G'],
    ['one\ntwo\n\nok\n', 'one\ntwo\n'],
    ['ok\nok\n', 'ok'],
    ['dos\r\nok\n', 'dos'],
  ])('is the reply, as of a program: %j', async (written, reply) => {
    expect(await call(await answering(written))).toBe(reply);
  });

  it('is put together again, however it comes', async () => {
    const path = await listen(async (socket) => {
      for (const byte of 'a€😀z\nok\n') {
        socket.write(byte);
        await new Promise((next) => setImmediate(next));
      }
      socket.end();
    });
    expect(await call(path)).toBe('a€😀z');
  });

  it('stays bytes when it is not UTF-8', async () => {
    expect(await call(await answering(Buffer.from([0xff, 0, 0x80]), '\nok\n'))).toEqual(
      Buffer.from([0xff, 0, 0x80, 0x0a]),
    );
  });

  it.each([1, 2, 3, 4, 5, 6])('is cut at %i bytes without splitting a character', async (outputBytes) => {
    const kept = outputBytes < 4 ? 'a' : 'a€';
    expect(await call(await answering('a€😀z!\nok\n'), {}, { outputBytes })).toBe(`${kept} …[cut, 11 bytes]`);
  });

  it('bears no mark when it just fits', async () => {
    expect(await call(await answering('a€😀z\nok\n'), {}, { outputBytes: 10 })).toBe('a€😀z');
  });

  it('is drained while only the head is kept', async () => {
    const path = await answering('head', Buffer.alloc(FLOOD, 'x'), '\nok\n');
    expect(await call(path, {}, { outputBytes: 6 })).toBe(`headxx …[cut, ${FLOOD + 5} bytes]`);
  });
});

describe('a service that does not end with a line ok', () => {
  it.each(['half of it\n', 'ok\nand more\n', 'not ok\n', 'OK\n', ' ok\n', 'ok \n', 'ok\n\n'])(
    'has failed, with what it wrote: %j',
    async (written) => {
      const error = call(await answering(written));
      await expect(error).rejects.toThrow(written.trim());
      await expect(error).rejects.toThrow('without ok');
    },
  );

  it('has failed when it says nothing at all', async () => {
    await expect(call(await answering())).rejects.toThrow('without ok');
  });

  it('has failed with the end of it where it is long', async () => {
    const error = await call(await answering(`${'ä'.repeat(5000)}\nthe last words\n`)).catch(String);
    expect(error).toMatch(/: ä+\nthe last words$/);
    expect(Buffer.byteLength(String(error))).toBeLessThan(600);
  });

  it('has failed when it closes the connection at once, as one does that has too many', async () => {
    for (const length of [10, 300_000]) {
      const path = await listen((socket) => socket.destroy());
      await expect(call(path, { long: 'x'.repeat(length) })).rejects.toThrow('without ok');
    }
  });
});

describe('a service that cannot be reached', () => {
  it('is told, with its path', async () => {
    const folder = temporaryFolder();
    const absent = join(folder, 'absent.sock');
    await expect(call(absent)).rejects.toMatchObject({ code: 'handler-invalid' });
    await expect(call(absent)).rejects.toThrow(absent);
    await expect(call('/nowhere/at/all.sock')).rejects.toMatchObject({ code: 'handler-invalid' });
    const file = writeFile(folder, 'file', '');
    await expect(call(file)).rejects.toMatchObject({ code: 'handler-invalid' });
  });

  it('is told when nobody listens there any more', async () => {
    const folder = temporaryFolder();
    const path = join(folder, 'left.sock');
    const listening = createServer();
    await new Promise<void>((done) => listening.listen(join(folder, 'made.sock'), done));
    // The server removes the file by the name that it was made under.
    renameSync(join(folder, 'made.sock'), path);
    await new Promise((closed) => listening.close(closed));
    chmodSync(path, 0o600);
    await expect(call(path)).rejects.toThrow('ECONNREFUSED');
  });
});

describe('what a service gets', () => {
  /** A service that says how many bytes it got, and what, once that has ended. */
  const echoing = () =>
    listen((socket) => {
      const got: Buffer[] = [];
      socket.on('data', (chunk) => got.push(chunk));
      socket.once('end', () => socket.end(Buffer.concat([...got, Buffer.from('\nok\n')])));
    });

  it('is the parameters as one line of JSON, and then the end', async () => {
    const params = { on: true, args: ['a b'], wide: 2n ** 64n, bytes: new Uint8Array([255]), none: null };
    expect(await call(await echoing(), params)).toBe(
      '{"on":true,"args":["a b"],"wide":"18446744073709551616","bytes":{"base64":"/w=="},"none":null}\n',
    );
  });

  it('on a raw port is the datagram’s bytes, and its own go back as they are', async () => {
    const everyByte = Buffer.from(Array.from({ length: 256 }, (_, byte) => byte));
    const raw = contextFor({ format: 'raw' });
    for (const bytes of [everyByte, Buffer.from('text\n'), Buffer.alloc(0)]) {
      expect(await call(await echoing(), bytes, {}, raw)).toEqual(bytes);
    }
    await expect(call(await echoing(), everyByte, { outputBytes: 255 }, raw)).rejects.toThrow('256 bytes');
  });

  it.each([10, 150_000])('need not be read: %i characters of it do no harm', async (length) => {
    const path = await listen((socket) => {
      // Once they are there: what is closed before is a connection refused.
      socket.once('readable', () => {
        socket.write('done\nok\n', () => socket.destroy());
      });
    });
    expect(await call(path, { long: 'x'.repeat(length) })).toBe('done');
  });

  it('need not be read to the end by one that says ok, and ends its direction', async () => {
    const path = await listen((socket) => void socket.end('done\nok\n'));
    expect(await call(path, { long: 'x'.repeat(10_000_000) })).toBe('done');
  });
});

describe('when a service’s time is up', () => {
  it('the connection is closed', async () => {
    const controller = new AbortController();
    const closed = deferred<void>();
    const path = await listen((socket) => {
      socket.once('close', closed.resolve);
      socket.write('half\n', () => controller.abort(new Error('too late')));
    });
    await expect(call(path, {}, {}, contextFor({}, controller.signal))).rejects.toThrow('too late');
    await closed.promise;
  });

  it('before it began, there is no connection', async () => {
    let connections = 0;
    const path = await listen(() => connections++);
    await expect(call(path, {}, {}, contextFor({}, AbortSignal.abort(new Error('too late'))))).rejects.toThrow(
      'too late',
    );
    expect(connections).toBe(0);
  });
});

describe('a socket', () => {
  it('may belong to a group, but not to everybody, looked at before each use', async () => {
    const path = await answering('ok\n');
    expect(await call(path)).toBe('');
    chmodSync(path, 0o666);
    await expect(call(path)).rejects.toMatchObject({ code: 'program-unsafe' });
    chmodSync(path, 0o660);
    expect(await call(path)).toBe('');
  });

  it('may not lie where others can put another in its place, nor be a link', async () => {
    const path = await answering('ok\n');
    const folder = join(temporaryFolder(), 'folder');
    mkdirSync(folder);
    symlinkSync(path, join(folder, 'link.sock'));
    await expect(resolveSafeSocket(join(folder, 'link.sock'))).rejects.toMatchObject({ code: 'handler-invalid' });
    chmodSync(join(path, '..'), 0o777);
    await expect(call(path)).rejects.toMatchObject({ code: 'program-unsafe' });
  });

  it.skipIf(needs('root'))('may not belong to another user', async () => {
    const path = await answering('ok\n');
    chownSync(path, STRANGER, 0);
    await expect(call(path)).rejects.toMatchObject({ code: 'program-unsafe' });
    chownSync(path, 0, STRANGER);
    expect(await call(path)).toBe('');
  });

  it('is found by its real path', async () => {
    const path = await answering('ok\n');
    const link = join(temporaryFolder(), 'link');
    symlinkSync(join(path, '..'), link);
    expect(await resolveSafeSocket(join(link, 'service.sock'))).toBe(path);
  });
});

describe('device.reboot by a socket', () => {
  const reboot = (path: string, signal: AbortSignal) =>
    restartHandlers(resolveConfig({ device: { reboot: { socket: path } } }))[0]?.run({}, contextFor({}, signal));

  it('has failed when its service fails, and says why', async () => {
    await expect(reboot(await answering('inhibited\n'), new AbortController().signal)).rejects.toThrow('inhibited');
  });

  it('is not done when its service says ok, but after the reboot', async () => {
    const said = deferred<void>();
    const path = await listen((socket) => {
      socket.once('data', () => socket.end('ok\n'));
      socket.once('close', said.resolve);
    });
    const running = Promise.resolve(reboot(path, new AbortController().signal));
    await said.promise;
    const outcome = await Promise.race([running, new Promise((later) => setTimeout(later, 50, 'still running'))]);
    expect(outcome).toBe('still running');
  });
});

describe('a socket handler’s promises', () => {
  it('are those of its configuration: what is safe is idempotent as well', () => {
    const handler = (input: object) => socketHandler('tried', socketConfig({ socket: '/run/a.sock', ...input }));
    expect(handler({})).toMatchObject({ safe: false, idempotent: false, timeoutMs: 30_000 });
    expect(handler({ safe: true, timeout: '2min' })).toMatchObject({ idempotent: true, timeoutMs: 120_000 });
  });
});
