import { delimiter } from 'node:path';
import { describe, expect, it, onTestFinished, vi } from 'vitest';
import { health } from '../../../../agent/handlers/builtin/health.js';
import { temporaryFolder, writeScript } from '../../../support/files.js';
import { MODEM_HEALTH } from '../../../support/links.js';
import { expectToFit, link, run } from './support.js';

describe('the command health', () => {
  /** Puts a program called timedatectl first in PATH. */
  function fakeTimedatectl(script: string): void {
    const folder = temporaryFolder();
    writeScript(script, folder, 'timedatectl');
    vi.stubEnv('PATH', `${folder}${delimiter}${process.env['PATH']}`);
  }

  it('reports the device’s condition in one datagram', async () => {
    fakeTimedatectl('echo yes');
    const told = await run(health({}));
    expect(told).toMatchObject({
      load1: expect.any(Number),
      memoryFreeMB: expect.any(Number),
      memoryTotalMB: expect.any(Number),
      agentMemoryMB: expect.any(Number),
      diskFreeMB: expect.any(Number),
      diskTotalMB: expect.any(Number),
      clockSynchronized: true,
    });
    expect(told).toHaveProperty('temperatureC');
    expectToFit(told);
  });

  it('asks timedatectl for NTPSynchronized only', async () => {
    fakeTimedatectl('[ "$*" = "show --property=NTPSynchronized --value" ] && echo yes');
    expect(await run(health({}))).toMatchObject({ clockSynchronized: true });
  });

  it.each([
    ['no', 'echo no'],
    ['nothing', ''],
    ['something else', 'echo n/a'],
    ['yes, and then fails', 'echo yes; exit 1'],
    ['far too much', 'yes yes | head -c 100000'],
  ])('reports an unsynchronised clock when timedatectl prints %s', async (_what, script) => {
    fakeTimedatectl(script);
    expect(await run(health({}))).toMatchObject({ clockSynchronized: false });
  });

  it('reports an unsynchronised clock without timedatectl', async () => {
    vi.stubEnv('PATH', temporaryFolder());
    expect(await run(health({}))).toMatchObject({ clockSynchronized: false });
  });

  it('does not wait forever for a timedatectl that hangs and ignores SIGTERM', async () => {
    fakeTimedatectl("trap '' TERM; exec sleep 1000");
    expect(await run(health({}))).toMatchObject({ clockSynchronized: false });
  });

  it('runs timedatectl at most once a minute', async () => {
    vi.useFakeTimers({ toFake: ['performance'] });
    onTestFinished(() => void vi.useRealTimers());
    const handler = health({});
    fakeTimedatectl('echo yes');
    const answers = await Promise.all([run(handler), run(handler)]);
    expect(answers).toMatchObject([{ clockSynchronized: true }, { clockSynchronized: true }]);
    fakeTimedatectl('echo no');
    vi.advanceTimersByTime(59_999);
    expect(await run(handler)).toMatchObject({ clockSynchronized: true });
    vi.advanceTimersByTime(1);
    expect(await run(handler)).toMatchObject({ clockSynchronized: false });
  });

  it('reports the modem and its network while another link is in use', async () => {
    const { registration, operator, signalDbm } = MODEM_HEALTH;
    const state = await run(health({ link }));
    const linkSince = '2026-01-02T03:04:05Z';
    expect(state).toMatchObject({ link: 'udp', linkSince, linkSwitches: 2, registration, operator, signalDbm });
    expect(state).toMatchObject({ modemRecoveries: 7, modemUrcsLost: 6, modemDiscardedBytes: 42 });
    expectToFit(state);
  });
});
