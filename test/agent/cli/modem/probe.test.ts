import { describe, expect, it } from 'vitest';
import { start as startLoopback } from '../../../loopback/support.js';
import { needs } from '../../../support/needs.js';
import { linkPath, openPty } from '../../../support/pty.js';
import { supersimAgent } from '../support.js';

const probe = (path: string, ...args: readonly string[]) => supersimAgent(['modem', 'probe', '--path', path, ...args]);

describe.skipIf(needs('python3'))('supersim-agent modem probe', () => {
  it('shows the port, the modem, and the setting for the configuration', async () => {
    const path = linkPath();
    const { events } = await startLoopback({ modem: { dialect: 'ublox', path } });
    await events.take((event) => event.type === 'sim' && event.state === 'active');
    const { code, stdout, stderr } = await probe(path);
    expect(stderr).toBe('');
    expect(stdout).toMatch(/^dialect +ublox$/m);
    expect(stdout).toMatch(/^SIM +READY, ICCID \d+$/m);
    expect(stdout).toMatch(/^signal +-97 dBm$/m);
    expect(stdout).toContain(`modem:\n  path: ${path}\n`);
    expect(code).toBe(0);
    const { stdout: json } = await probe(path, '--json');
    expect(JSON.parse(json)).toMatchObject({
      ports: [{ path, kind: 'at' }],
      modem: { path, dialect: 'ublox', sim: 'READY', registration: 'roaming', signalDbm: -97 },
    });
  });

  it('explains what to do about a SIM that asks for its PIN', async () => {
    const path = linkPath();
    const { modem } = await startLoopback({ modem: { dialect: 'quectel', path } });
    modem?.setSim('pin');
    const { stdout, code } = await probe(path);
    expect(stdout).toMatch(/^SIM +SIM PIN, .*modem\.pin/m);
    expect(code).toBe(0);
  });

  it('names the process that has the port open, and exits with 1', async () => {
    const link = linkPath();
    const { pid } = await openPty(link, 'locked');
    const { code, stdout, stderr } = await probe(link);
    expect(stdout).toContain(`pid ${pid}`);
    expect(stderr).toMatch(/^error modem-port-busy: .*\n.+\n$/);
    expect(code).toBe(1);
    expect(JSON.parse((await probe(link, '--json')).stdout)).toMatchObject({
      ports: [{ path: link, kind: 'unusable', error: { code: 'modem-port-busy' }, holders: [{ pid }] }],
    });
  });

  it.each([
    ['a port that is not there', '/dev/nowhere', 'modem-port-missing'],
    ['what is no serial port', '/dev/null', 'modem-port-missing'],
  ])('exits with 1 for %s', async (_what, path, error) => {
    expect(await probe(path)).toMatchObject({
      code: 1,
      stderr: expect.stringMatching(new RegExp(`^error ${error}: `)),
    });
  });

  it('exits with 1 for a silent port, at any speed', async () => {
    const link = linkPath();
    await openPty(link);
    expect(await probe(link, '--baud', '9600')).toMatchObject({
      code: 1,
      stdout: expect.stringContaining('no response'),
      stderr: expect.stringMatching(/^error modem-silent: /),
    });
  });

  it('exits with 2 for wrong arguments', async () => {
    expect(await probe('/dev/null', '--baud', 'x')).toMatchObject({ code: 2 });
    expect(await probe('/dev/null', '--bogus')).toMatchObject({ code: 2 });
  });
});
