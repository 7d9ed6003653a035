import { setTimeout as pause } from 'node:timers/promises';
import { describe, expect, it } from 'vitest';
import { MAX_RESPONSE_BYTES } from '../../../../agent/service/control/schema.js';
import { SupersimError } from '../../../../shared/errors.js';
import { VERSION } from '../../../../shared/version.js';
import { deferred } from '../../../support/deferred.js';
import { recordingLog } from '../../../support/log.js';
import { SEED, seededRandom } from '../../../support/seed.js';
import { ask, connect, ENDED, fakeCommands, fakeTarget, openControl, talk, WAITING } from './support.js';

describe('the control socket', () => {
  it('answers the status with version and uptime', async () => {
    const { path } = await openControl();
    const { status, headers, body } = await ask(path, 'GET', '/status');
    expect(status).toBe(200);
    expect(headers).toMatchObject({ 'content-type': 'application/json', connection: 'close' });
    expect(body).toMatchObject({ running: 3, version: VERSION, pid: process.pid, uptime: expect.any(Number) });
  });

  it('lists, shows, cancels and purges commands', async () => {
    const { path } = await openControl();
    expect((await ask(path, 'GET', '/commands')).body).toEqual({ commands: [WAITING, ENDED] });
    expect((await ask(path, 'GET', '/commands?limit=1')).body).toEqual({ commands: [WAITING] });
    expect((await ask(path, 'GET', '/commands/1')).body).toEqual(ENDED);
    expect((await ask(path, 'DELETE', '/commands/2')).body).toEqual({ cancelled: 2 });
    expect((await ask(path, 'POST', '/commands/purge')).body).toEqual({ purged: 1 });
    expect((await ask(path, 'GET', '/commands')).body).toEqual({ commands: [] });
  });

  it('lists 50 commands by default, and waits for an asynchronous target', async () => {
    const limits: number[] = [];
    const list = async (limit: number) => {
      limits.push(limit);
      return [];
    };
    const commands = { ...fakeCommands(), list, purge: async () => 7 };
    const { path } = await openControl({ target: { status: async () => ({ running: 9 }), commands } });
    await ask(path, 'GET', '/commands');
    await ask(path, 'GET', '/commands?limit=1000');
    expect(limits).toEqual([50, 1000]);
    expect((await ask(path, 'POST', '/commands/purge')).body).toEqual({ purged: 7 });
    expect((await ask(path, 'GET', '/status')).body).toMatchObject({ running: 9 });
  });

  it('runs AT commands, and answers the modem log after a record', async () => {
    const records = Array.from({ length: 5 }, (_, index) => {
      const dir = index % 2 === 0 ? ('tx' as const) : ('rx' as const);
      return { n: index + 3, t: index * 1.5, dir, hex: 'ab'.repeat(200_000) };
    });
    const modem = {
      path: '/dev/ttyUSB2',
      run: 'a',
      dialect: () => 'quectel',
      at: async (command: string) => [`${command}!`, 'OK'],
      log: (after: number) => records.filter(({ n }) => n > after),
    };
    const { path } = await openControl({ target: { ...fakeTarget(), modem } });
    expect((await ask(path, 'GET', '/modem')).body).toEqual({ path: '/dev/ttyUSB2', dialect: 'quectel' });
    const asked = await ask(path, 'POST', `/modem/at?command=${encodeURIComponent('AT+X="a&b";+CSQ')}`);
    expect(asked.body).toEqual({ lines: ['AT+X="a&b";+CSQ!', 'OK'] });
    // Not more than an answer can have; the rest is to be asked for.
    expect((await ask(path, 'GET', '/modem/log')).body).toEqual({ run: 'a', records: records.slice(0, 2) });
    expect((await ask(path, 'GET', '/modem/log?after=6')).body).toEqual({ run: 'a', records: records.slice(4) });
    expect((await ask(path, 'GET', '/modem/log?after=7')).body).toEqual({ run: 'a', records: [] });
    for (const url of ['/modem/log?after=-1', '/modem/log?after=x', '/modem/log?before=1']) {
      expect(await ask(path, 'GET', url)).toMatchObject({ status: 400, code: 'bad-input' });
    }
    for (const command of ['', 'CSQ', 'AT\rAT', `AT${'x'.repeat(1100)}`]) {
      const answer = await ask(path, 'POST', `/modem/at?command=${encodeURIComponent(command)}`);
      expect(answer).toMatchObject({ status: 400, code: 'bad-input' });
    }
  });

  it('reloads and sets the log level, and answers the errors of both', async () => {
    let level = 'info';
    const levels = {
      get: () => ({ level, configured: 'info' }),
      set: (next: string) => {
        level = next;
      },
    };
    let reload = async (): Promise<object> => ({ changed: ['allow'], needsRestart: [], modules: [] });
    const { path } = await openControl({ target: { ...fakeTarget(), reload: () => reload(), logLevel: levels } });
    expect((await ask(path, 'POST', '/reload')).body).toMatchObject({ changed: ['allow'] });
    expect((await ask(path, 'PUT', '/loglevel?level=trace')).body).toEqual({ level: 'trace', configured: 'info' });
    expect((await ask(path, 'GET', '/loglevel')).body).toEqual({ level: 'trace', configured: 'info' });
    for (const url of ['/loglevel', '/loglevel?level=', '/loglevel?level=loud', '/loglevel?level=info&more=1']) {
      expect(await ask(path, 'PUT', url)).toMatchObject({ status: 400, code: 'bad-input' });
    }
    expect(level).toBe('trace');
    for (const [code, status] of [
      ['config-invalid', 422],
      ['config-unreadable', 422],
      ['handler-invalid', 422],
      ['busy', 503],
    ] as const) {
      reload = () => Promise.reject(new SupersimError(code, 'line 3'));
      expect(await ask(path, 'POST', '/reload')).toMatchObject({ status, code, body: { message: 'line 3' } });
    }
    expect(await ask(path, 'GET', '/reload')).toMatchObject({ status: 405 });
    const { path: other } = await openControl();
    for (const [method, url] of [
      ['POST', '/reload'],
      ['GET', '/loglevel'],
      ['PUT', '/loglevel?level=info'],
    ] as const) {
      expect(await ask(other, method, url)).toMatchObject({ status: 400, code: 'bad-input' });
    }
  });

  it('has a longer time limit for an AT command', { timeout: 20_000 }, async () => {
    const at = async () => {
      await pause(10_500);
      return ['OK'];
    };
    const modem = { path: '/dev/ttyUSB2', run: 'a', dialect: () => undefined, at, log: () => [] };
    const { path } = await openControl({ target: { ...fakeTarget(), modem } });
    expect(await ask(path, 'POST', '/modem/at?command=AT%2BCOPS%3D%3F')).toMatchObject({ status: 200 });
  });

  it('answers that the modem is silent, and that there is none', async () => {
    const at = () => Promise.reject(new SupersimError('modem-silent', 'no answer to AT'));
    const modem = { path: '/dev/ttyUSB2', run: 'a', dialect: () => undefined, at, log: () => [] };
    const { path } = await openControl({ target: { ...fakeTarget(), modem } });
    expect(await ask(path, 'POST', '/modem/at?command=AT')).toMatchObject({ status: 504, code: 'modem-silent' });
    const { path: other } = await openControl();
    for (const [method, url] of [
      ['GET', '/modem'],
      ['POST', '/modem/at?command=AT'],
      ['GET', '/modem/log'],
    ] as const) {
      expect(await ask(other, method, url)).toMatchObject({ status: 503, code: 'no-modem' });
    }
  });

  it.each([
    ['GET', '/', 404, 'bad-input'],
    ['GET', '/statuses', 404, 'bad-input'],
    ['GET', '//', 404, 'bad-input'],
    ['GET', '/commands/1/2', 404, 'bad-input'],
    ['GET', '/commands?limit=0', 400, 'bad-input'],
    ['GET', '/commands?limit=1001', 400, 'bad-input'],
    ['GET', '/commands?limit=x', 400, 'bad-input'],
    ['GET', '/commands?limit=', 400, 'bad-input'],
    ['GET', '/commands?limit=1.5', 400, 'bad-input'],
    ['GET', '/commands?most=5', 400, 'bad-input'],
    ['GET', '/commands?__proto__=5', 400, 'bad-input'],
    ['GET', '/commands/x', 400, 'bad-input'],
    ['GET', '/commands/-1', 400, 'bad-input'],
    ['DELETE', '/commands/99999999999999999999', 400, 'bad-input'],
    ['GET', '/commands/99', 404, 'no-such-command'],
    ['DELETE', '/commands/99', 404, 'no-such-command'],
    ['DELETE', '/commands/1', 409, 'too-late'],
  ])('answers %s %s with %i %s', async (method, url, status, code) => {
    const { path } = await openControl();
    const answer = await ask(path, method, url);
    expect(answer).toMatchObject({ status, code });
    expect(answer.body).toEqual({ code, message: expect.any(String), remedy: expect.any(String) });
  });

  it.each([
    ['POST', '/status', 'GET'],
    ['DELETE', '/commands', 'GET'],
    ['GET', '/commands/purge', 'POST'],
    ['PUT', '/commands/1', 'GET, DELETE'],
  ])('answers %s %s with the allowed methods', async (method, url, allow) => {
    const { path } = await openControl();
    const answer = await ask(path, method, url);
    expect(answer).toMatchObject({ status: 405, code: 'bad-input', headers: { allow } });
  });

  it.each([
    ['GET', '/commands'],
    ['GET', '/commands/1'],
    ['DELETE', '/commands/1'],
    ['POST', '/commands/purge'],
  ])('answers %s %s with no-journal without a journal', async (method, url) => {
    const { path } = await openControl({ target: { ...fakeTarget(), commands: undefined } });
    expect(await ask(path, method, url)).toMatchObject({ status: 503, code: 'no-journal' });
  });

  it('answers errors of the target, and logs unexpected ones', async () => {
    const { log, withMessage } = recordingLog();
    const commands = {
      ...fakeCommands(),
      list() {
        throw new SupersimError('busy', 'the disk cannot be read');
      },
      get: async () => Promise.reject(new Error('secret')),
    };
    const target = { status: () => ({ unwritable: 1n }), commands };
    const { path } = await openControl({ target, log });
    expect(await ask(path, 'GET', '/commands')).toMatchObject({ status: 503, code: 'busy' });
    const failed = await ask(path, 'GET', '/commands/1');
    expect(failed).toMatchObject({ status: 500, code: 'internal-error' });
    expect(JSON.stringify(failed.body)).not.toContain('secret');
    expect(await ask(path, 'GET', '/status')).toMatchObject({ status: 500, code: 'internal-error' });
    expect(withMessage('control socket: request failed').map(({ details }) => details['error'])).toEqual([
      'secret',
      expect.stringContaining('BigInt'),
    ]);
  });

  it('refuses an answer that is too long', async () => {
    const { path } = await openControl({
      target: { ...fakeTarget(), status: () => ({ text: 'x'.repeat(MAX_RESPONSE_BYTES) }) },
    });
    expect(await ask(path, 'GET', '/status')).toMatchObject({ status: 400, code: 'bad-input' });
  });
});

describe('a malformed request to the control socket', () => {
  const statusLine = (answer: string) => answer.split('\r\n', 1)[0];

  it.each<[string, Uint8Array | string, string]>([
    ['no HTTP', 'hello\r\n\r\n', 'HTTP/1.1 400 Bad Request'],
    ['bytes', Buffer.from([0x16, 0x03, 0x01, 0x02, 0x00]), 'HTTP/1.1 400 Bad Request'],
    ['a long path', `GET /${'x'.repeat(100_000)}`, 'HTTP/1.1 431 Request Header Fields Too Large'],
    [
      'long headers',
      `GET /status HTTP/1.1\r\nA: ${'x'.repeat(100_000)}`,
      'HTTP/1.1 431 Request Header Fields Too Large',
    ],
    [
      'many headers',
      `GET /status HTTP/1.1\r\n${'A: b\r\n'.repeat(10_000)}`,
      'HTTP/1.1 431 Request Header Fields Too Large',
    ],
    [
      'a body',
      'POST /commands/purge HTTP/1.1\r\nHost: a\r\nContent-Length: 9999999999\r\n\r\nx',
      'HTTP/1.1 413 Payload Too Large',
    ],
    [
      'chunks',
      'POST /commands/purge HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n',
      'HTTP/1.1 413 Payload Too Large',
    ],
    [
      'another protocol',
      'GET /status HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n',
      'HTTP/1.1 200 OK',
    ],
    ['no such target', 'GET * HTTP/1.1\r\nHost: a\r\n\r\n', 'HTTP/1.1 404 Not Found'],
    ['a tunnel', 'CONNECT a:1 HTTP/1.1\r\nHost: a\r\n\r\n', ''],
  ])('is answered and its connection closed: %s', async (_what, bytes, expected) => {
    const { path } = await openControl();
    expect(statusLine(await talk(path, bytes))).toBe(expected);
    expect((await ask(path, 'GET', '/status')).status).toBe(200);
  });

  it('does no harm with random bytes', async () => {
    const { path } = await openControl();
    const random = seededRandom(SEED);
    const parts = [
      'GET ',
      '/commands/',
      '?limit=',
      ' HTTP/1.1',
      '\r\n',
      '\r\n\r\n',
      'Content-Length: -1',
      '\0',
      '%',
    ] as const;
    for (let round = 0; round < 100; round++) {
      const pieces = Array.from({ length: 8 }, () => random.pick([...parts, random.bytes(4).toString('latin1')]));
      await talk(path, `GET${pieces.join('')}\r\n\r\n\x01\r\n\r\n`);
    }
    expect((await ask(path, 'GET', '/status')).status).toBe(200);
  });

  it('allows one request per connection', async () => {
    let purges = 0;
    const purge = () => ++purges;
    const { path } = await openControl({ target: { ...fakeTarget(), commands: { ...fakeCommands(), purge } } });
    await talk(path, 'POST /commands/purge HTTP/1.1\r\nHost: a\r\n\r\n'.repeat(50));
    expect(purges).toBe(1);
  });

  it('does no harm when the client disconnects early', async () => {
    const asked = deferred();
    const answer = deferred<object>();
    const { path } = await openControl({
      target: {
        ...fakeTarget(),
        status() {
          asked.resolve();
          return answer.promise;
        },
      },
    });
    const socket = await connect(path);
    socket.write('GET /status HTTP/1.1\r\nHost: a\r\n\r\n');
    await asked.promise;
    socket.destroy();
    expect((await ask(path, 'GET', '/commands')).status).toBe(200);
    answer.resolve({});
    expect((await ask(path, 'GET', '/status')).status).toBe(200);
  });
});

describe('connections of the control socket', () => {
  it('are limited to 8, and further ones closed', async () => {
    const { path } = await openControl();
    const sockets = [];
    for (let count = 0; count < 8; count++) sockets.push(await connect(path));
    const began = performance.now();
    expect(await talk(path, '')).toBe('');
    // At once, and not because its time was over.
    expect(performance.now() - began).toBeLessThan(5000);
    const [first] = sockets;
    const freed = new Promise((resolve) => first?.once('close', resolve));
    first?.end('GET /status HTTP/1.1\r\nHost: a\r\n\r\n').resume();
    await freed;
    expect((await ask(path, 'GET', '/status')).status).toBe(200);
  });

  it('are served one after the other', async () => {
    const { path } = await openControl();
    for (let count = 0; count < 100; count++) expect((await ask(path, 'GET', '/status')).status).toBe(200);
  });

  it('end after 10 s', async () => {
    const { path } = await openControl();
    const began = performance.now();
    await Promise.all([talk(path, ''), talk(path, 'GET /status HTTP/1.1\r\n')]);
    expect(performance.now() - began).toBeGreaterThan(9900);
    expect(performance.now() - began).toBeLessThan(15_000);
  });
});

describe('stop of the control socket', () => {
  function slowStatus() {
    const asked = deferred();
    const answer = deferred<object>();
    const status = () => {
      asked.resolve();
      return answer.promise;
    };
    return { asked, answer, target: { ...fakeTarget(), status } };
  }

  it('finishes pending answers, and closes other connections at once', async () => {
    const { asked, answer, target } = slowStatus();
    const { path, control } = await openControl({ target });
    const idle = talk(path, 'GET /st');
    // Connections are accepted in their order, so the idle one has been when this is asked.
    const answered = ask(path, 'GET', '/status');
    await asked.promise;
    const stopped = control.stop();
    expect(await idle).toBe('');
    answer.resolve({ running: 5 });
    expect((await answered).body).toMatchObject({ running: 5 });
    await stopped;
    await control.stop();
    await expect(ask(path, 'GET', '/status')).rejects.toMatchObject({ code: 'ENOENT' });
  });

  it('does not wait for an answer that never comes', async () => {
    const { asked, target } = slowStatus();
    const { path, control } = await openControl({ target });
    const answered = ask(path, 'GET', '/status');
    await asked.promise;
    const began = performance.now();
    await Promise.all([control.stop(), expect(answered).rejects.toMatchObject({ code: 'ECONNRESET' })]);
    expect(performance.now() - began).toBeLessThan(5000);
  });
});
