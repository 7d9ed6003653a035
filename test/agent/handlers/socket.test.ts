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

describe('output of a service before its last line ok', () => {
  it.each([
    ['ok\n', ''],
    ['ok', ''],
    ['\nok\n', ''],
    ['12G of 29G\nok\n', '12G of 29G'],
    ['one\ntwo\n\nok\n', 'one\ntwo\n'],
    ['ok\nok\n', 'ok'],
    ['dos\r\nok\n', 'dos'],
  ])('is the reply like a program’s output: %j', async (written, reply) => {
    expect(await call(await answering(written))).toBe(reply);
  });

  it('is reassembled from chunks', async () => {
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
    const result = await call(await answering('a€😀z!\nok\n'), {}, { outputBytes });
    expect(result).toEqual({ cut: true, bytes: 11, head: kept });
  });

  it('is not cut when it just fits', async () => {
    expect(await call(await answering('a€😀z\nok\n'), {}, { outputBytes: 10 })).toBe('a€😀z');
  });

  it('is read to the end, and only its head is kept', async () => {
    const path = await answering('head', Buffer.alloc(FLOOD, 'x'), '\nok\n');
    expect(await call(path, {}, { outputBytes: 6 })).toEqual({ cut: true, bytes: FLOOD + 5, head: 'headxx' });
  });
});

describe('a service without a last line ok', () => {
  it.each(['half of it\n', 'ok\nand more\n', 'not ok\n', 'OK\n', ' ok\n', 'ok \n', 'ok\n\n'])(
    'has failed, with what it wrote: %j',
    async (written) => {
      const error = call(await answering(written));
      await expect(error).rejects.toThrow(written.trim());
      await expect(error).rejects.toThrow('without ok');
    },
  );

  it('fails when it has no output', async () => {
    await expect(call(await answering())).rejects.toThrow('without ok');
  });

  it('fails with the end of long output', async () => {
    const error = await call(await answering(`${'ä'.repeat(5000)}\nthe last words\n`)).catch(String);
    expect(error).toMatch(/: ä+\nthe last words$/);
    expect(Buffer.byteLength(String(error))).toBeLessThan(600);
  });

  it('fails when it closes the connection at once', async () => {
    for (const length of [10, 300_000]) {
      const path = await listen((socket) => socket.destroy());
      await expect(call(path, { long: 'x'.repeat(length) })).rejects.toThrow('without ok');
    }
  });
});

describe('a service that is not reachable', () => {
  it('is reported with its path', async () => {
    const folder = temporaryFolder();
    const absent = join(folder, 'absent.sock');
    await expect(call(absent)).rejects.toMatchObject({ code: 'handler-invalid' });
    await expect(call(absent)).rejects.toThrow(absent);
    await expect(call('/nowhere/at/all.sock')).rejects.toMatchObject({ code: 'handler-invalid' });
    const file = writeFile(folder, 'file', '');
    await expect(call(file)).rejects.toMatchObject({ code: 'handler-invalid' });
  });

  it('is reported when nobody listens on the socket', async () => {
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

describe('input of a service', () => {
  /** A service that says how many bytes it got, and what, once that has ended. */
  const echoing = () =>
    listen((socket) => {
      const got: Buffer[] = [];
      socket.on('data', (chunk) => got.push(chunk));
      socket.once('end', () => socket.end(Buffer.concat([...got, Buffer.from('\nok\n')])));
    });

  it('is the parameters as one line of JSON, then the end', async () => {
    const params = { on: true, args: ['a b'], wide: 2n ** 64n, bytes: new Uint8Array([255]), none: null };
    expect(await call(await echoing(), params)).toBe(
      '{"on":true,"args":["a b"],"wide":"18446744073709551616","bytes":{"base64":"/w=="},"none":null}\n',
    );
  });

  it('on a raw port is the datagram, and its output is sent unchanged', async () => {
    const everyByte = Buffer.from(Array.from({ length: 256 }, (_, byte) => byte));
    const raw = contextFor({ format: 'raw' });
    for (const bytes of [everyByte, Buffer.from('text\n'), Buffer.alloc(0)]) {
      expect(await call(await echoing(), bytes, {}, raw)).toEqual(bytes);
    }
    await expect(call(await echoing(), everyByte, { outputBytes: 255 }, raw)).rejects.toThrow('256 bytes');
  });

  it.each([10, 150_000])('need not be read, with %i characters', async (length) => {
    const path = await listen((socket) => {
      // Once they are there: what is closed before is a connection refused.
      socket.once('readable', () => {
        socket.write('done\nok\n', () => socket.destroy());
      });
    });
    expect(await call(path, { long: 'x'.repeat(length) })).toBe('done');
  });

  it('need not be read to the end by a service that answers ok and closes its side', async () => {
    const path = await listen((socket) => void socket.end('done\nok\n'));
    expect(await call(path, { long: 'x'.repeat(10_000_000) })).toBe('done');
  });
});

describe('a socket handler’s timeout', () => {
  it('closes the connection', async () => {
    const controller = new AbortController();
    const closed = deferred<void>();
    const path = await listen((socket) => {
      socket.once('close', closed.resolve);
      socket.write('half\n', () => controller.abort(new Error('too late')));
    });
    await expect(call(path, {}, {}, contextFor({}, controller.signal))).rejects.toThrow('too late');
    await closed.promise;
  });

  it('prevents the connection when it has expired before', async () => {
    let connections = 0;
    const path = await listen(() => connections++);
    await expect(call(path, {}, {}, contextFor({}, AbortSignal.abort(new Error('too late'))))).rejects.toThrow(
      'too late',
    );
    expect(connections).toBe(0);
  });
});

describe('resolveSafeSocket', () => {
  it('accepts a socket of a group but not of everybody, checked before each use', async () => {
    const path = await answering('ok\n');
    expect(await call(path)).toBe('');
    chmodSync(path, 0o666);
    await expect(call(path)).rejects.toMatchObject({ code: 'program-unsafe' });
    chmodSync(path, 0o660);
    expect(await call(path)).toBe('');
  });

  it('refuses a socket that others can replace, and a link', async () => {
    const path = await answering('ok\n');
    const folder = join(temporaryFolder(), 'folder');
    mkdirSync(folder);
    symlinkSync(path, join(folder, 'link.sock'));
    await expect(resolveSafeSocket(join(folder, 'link.sock'))).rejects.toMatchObject({ code: 'handler-invalid' });
    chmodSync(join(path, '..'), 0o777);
    await expect(call(path)).rejects.toMatchObject({ code: 'program-unsafe' });
  });

  it.skipIf(needs('root'))('refuses a socket of another user', async () => {
    const path = await answering('ok\n');
    chownSync(path, STRANGER, 0);
    await expect(call(path)).rejects.toMatchObject({ code: 'program-unsafe' });
    chownSync(path, 0, STRANGER);
    expect(await call(path)).toBe('');
  });

  it('returns its real path', async () => {
    const path = await answering('ok\n');
    const link = join(temporaryFolder(), 'link');
    symlinkSync(join(path, '..'), link);
    expect(await resolveSafeSocket(join(link, 'service.sock'))).toBe(path);
  });
});

describe('device.reboot through a socket', () => {
  const reboot = (path: string, signal: AbortSignal) =>
    restartHandlers(resolveConfig({ device: { reboot: { socket: path } } }))[0]?.run({}, contextFor({}, signal));

  it('fails with the service’s message when the service fails', async () => {
    await expect(reboot(await answering('inhibited\n'), new AbortController().signal)).rejects.toThrow('inhibited');
  });

  it('is done only after the reboot', async () => {
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

describe('safe and idempotent of a socket handler', () => {
  it('are configured, and safe implies idempotent', () => {
    const handler = (input: object) => socketHandler('tried', socketConfig({ socket: '/run/a.sock', ...input }));
    expect(handler({})).toMatchObject({ safe: false, idempotent: false, timeoutMs: 30_000 });
    expect(handler({ safe: true, timeout: '2min' })).toMatchObject({ idempotent: true, timeoutMs: 120_000 });
  });
});
