import { chmodSync, symlinkSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it, onTestFinished } from 'vitest';
import { openPort, type Port, type PortOptions } from '../../../../../agent/transport/modem/port/port.js';
import { portHolders } from '../../../../../agent/transport/modem/port/port-holders.js';
import { isSupersimError, type SupersimError } from '../../../../../shared/errors.js';
import { temporaryFolder, writeFile } from '../../../../support/files.js';
import { needs } from '../../../../support/needs.js';
import { asNobody } from '../../../../support/nobody.js';
import { linkPath, openPty } from '../../../../support/pty.js';

const ALL_BYTES = Buffer.from(Array.from({ length: 256 }, (_, byte) => byte));

/** Opens a port until the end of the test, and records its events. */
async function open(path: string, options: Partial<PortOptions> = {}) {
  const chunks: Buffer[] = [];
  const errors: SupersimError[] = [];
  const happened: () => void = () => undefined;
  const port: Port = await openPort(
    { path, baudRate: 115_200, flowControl: 'none', ...options },
    {
      data(bytes) {
        chunks.push(bytes);
        happened();
      },
      lost(error) {
        errors.push(error);
        happened();
      },
    },
  );
  onTestFinished(() => port.close());
  return {
    port,
    errors,
    data: () => Buffer.concat(chunks),
    until: (fits: () => boolean) =>
      expect.poll(fits, { interval: 20, message: `so far: ${Buffer.concat(chunks).toString('hex')}` }).toBe(true),
  };
}

const refusal = (path: string) =>
  open(path).then(
    () => undefined,
    (error: unknown) => (isSupersimError(error) ? error : undefined),
  );

describe.skipIf(needs('python3'))('a serial port', () => {
  it('carries every byte value both ways, at any speed and with either flow control', async () => {
    const link = linkPath();
    const pty = await openPty(link);
    for (const options of [{}, { baudRate: 9600 }, { baudRate: 921_600, flowControl: 'rtscts' }] as const) {
      const before = pty.received().length;
      const { port, data, until } = await open(link, options);
      expect(port.device).toBe(pty.device);
      await port.write(ALL_BYTES);
      expect((await pty.receive(before + 256)).subarray(before)).toEqual(ALL_BYTES);
      pty.send(ALL_BYTES);
      await until(() => data().length >= 256);
      expect(data()).toEqual(ALL_BYTES);
      await port.close();
    }
  });

  it('keeps the order of concurrent writes, and refuses what exceeds its buffer', async () => {
    const link = linkPath();
    const pty = await openPty(link);
    const { port } = await open(link);
    const parts = Array.from({ length: 20 }, (_, index) => Buffer.alloc(700, index));
    await Promise.all(parts.map((part) => port.write(part)));
    expect(await pty.receive(14_000)).toEqual(Buffer.concat(parts));
    const results = await Promise.allSettled(Array.from({ length: 30 }, () => port.write(Buffer.alloc(1000))));
    const refused = results.filter(({ status }) => status === 'rejected');
    expect(refused).toHaveLength(14);
    expect(refused[0]).toMatchObject({ reason: { code: 'modem-port-lost' } });
    expect(await pty.receive(30_000)).toHaveLength(30_000);
  });

  it('that disappears is reported as lost once, and writes fail', async () => {
    const link = linkPath();
    const pty = await openPty(link);
    const { port, errors, until } = await open(link);
    await pty.vanish();
    await until(() => errors.length > 0);
    expect(errors[0]?.code).toBe('modem-port-lost');
    await expect(port.write(Buffer.from('AT\r'))).rejects.toMatchObject({ code: 'modem-port-lost' });
    await port.close();
    expect(errors).toHaveLength(1);
  });

  it('may disappear at any byte that is read or written', async () => {
    for (let round = 0; round < 20; round++) {
      const link = linkPath();
      const pty = await openPty(link);
      const { port, errors, until } = await open(link);
      pty.send(Buffer.alloc(1 + round * 97, 'x'));
      const written = port.write(Buffer.alloc(5000, 'y')).catch((error: unknown) => error);
      if (round % 2 === 0) await written;
      await pty.vanish();
      await until(() => errors.length > 0);
      expect([undefined, 'modem-port-lost']).toContain(Object(await written)?.code);
      expect(errors.map(({ code }) => code)).toEqual(['modem-port-lost']);
    }
  });

  it('whose modem takes no bytes fails the write in time, and can be closed', async () => {
    const link = linkPath();
    await openPty(link, 'deaf');
    const { port, errors } = await open(link, { baudRate: 921_600 });
    const write = async (): Promise<unknown> => {
      for (let round = 0; round < 100; round++) await port.write(Buffer.alloc(16_384));
      return undefined;
    };
    const started = performance.now();
    await expect(write()).rejects.toMatchObject({ code: 'modem-port-lost' });
    expect(performance.now() - started).toBeLessThan(10_000);
    expect(errors).toHaveLength(1);
    await port.close();
  });

  it('reports nothing after it was closed', async () => {
    const link = linkPath();
    const pty = await openPty(link);
    const { port, errors, data } = await open(link);
    await Promise.all([port.close(), port.close()]);
    pty.send('late');
    await expect(port.write(Buffer.from('AT\r'))).rejects.toMatchObject({ code: 'modem-port-lost' });
    await pty.vanish();
    expect([data().length, errors]).toEqual([0, []]);
  });
});

describe.skipIf(needs('python3'))('a port that cannot be opened', () => {
  it('is missing when it does not exist or is no serial port', async () => {
    const folder = temporaryFolder();
    symlinkSync('/dev/nowhere', join(folder, 'dangling'));
    const file = writeFile(folder, 'file', 'text');
    for (const path of ['/dev/ttyUSB99', join(folder, 'dangling'), file, join(file, 'below'), folder, '/dev/null']) {
      expect([path, (await refusal(path))?.code]).toEqual([path, 'modem-port-missing']);
    }
  });

  it('is busy when another program has locked it, and the program is named', async () => {
    const link = linkPath();
    const pty = await openPty(link, 'locked');
    expect(await refusal(link)).toMatchObject({
      code: 'modem-port-busy',
      message: expect.stringContaining(`pid ${pty.pid}`),
    });
  });

  it.skipIf(needs('root'))(
    'is busy when another program has opened it exclusively, and the program is named where it may be seen',
    async () => {
      const link = linkPath();
      const pty = await openPty(link, 'exclusive');
      chmodSync(pty.device, 0o666);
      chmodSync(join(link, '..'), 0o755);
      expect(await asNobody(() => refusal(link))).toMatchObject({ code: 'modem-port-busy' });
      // A program in another mount namespace may have a terminal of the same name.
      expect(await portHolders(link)).toContainEqual(expect.objectContaining({ pid: pty.pid, certain: true }));
    },
  );

  it.skipIf(needs('root'))('is forbidden to a user without permission', async () => {
    const link = linkPath();
    const pty = await openPty(link);
    chmodSync(pty.device, 0o600);
    chmodSync(join(link, '..'), 0o755);
    expect(await asNobody(() => refusal(link))).toMatchObject({
      code: 'modem-port-forbidden',
      message: expect.stringContaining(link),
      remedy: expect.stringContaining('dialout'),
    });
  });
});
