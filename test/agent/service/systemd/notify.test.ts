import { describe, expect, it, onTestFinished, vi } from 'vitest';
import { createNotify } from '../../../../agent/service/systemd/notify.js';
import { deferred } from '../../../support/deferred.js';
import { temporaryFolder } from '../../../support/files.js';
import { recordingLog } from '../../../support/log.js';
import { needs } from '../../../support/needs.js';
import { settled } from '../../command/wired-support.js';

/** What tells systemd, with children that end when the test lets them, in their order. */
function start() {
  const { log, withMessage } = recordingLog();
  const children: { readonly args: readonly string[]; readonly end: (error?: Error) => void }[] = [];
  const notify = createNotify(log, (args) => {
    const ended = deferred<Error | undefined>();
    children.push({ args, end: ended.resolve });
    return ended.promise.then((error) => {
      if (error !== undefined) throw error;
    });
  });
  return {
    notify,
    complaints: () => withMessage('systemd-notify failed'),
    told: () => children.map(({ args }) => args),
    async end(child: number, error?: Error): Promise<void> {
      children[child]?.end(error);
      await settled();
    },
  };
}

describe('createNotify', () => {
  it('sends all variables in one message, and succeeds when the child exits with 0', async () => {
    const { notify, told, end } = start();
    const heard = notify({ READY: '1', STATUS: 'udp up' });
    await settled();
    expect(told()).toEqual([['READY=1', 'STATUS=udp up']]);
    await end(0);
    expect(await heard).toBe(true);
  });

  it('runs one child at a time for each kind, and sends only the newest waiting notification', async () => {
    const { notify, told, end } = start();
    const first = notify({ STATUS: 'a' });
    const second = notify({ STATUS: 'b' });
    const third = notify({ STATUS: 'c' });
    expect(told()).toEqual([['STATUS=a']]);
    expect(await second).toBe(false);
    await end(0);
    expect(await first).toBe(true);
    expect(told()).toEqual([['STATUS=a'], ['STATUS=c']]);
    await end(1);
    expect(await third).toBe(true);
    expect(told()).toHaveLength(2);
  });

  it('does not make keep-alives wait for other kinds', async () => {
    const { notify, told } = start();
    void notify({ STATUS: 'a' });
    void notify({ READY: '1', STATUS: 'b' });
    void notify({ WATCHDOG: '1' });
    await settled();
    expect(told()).toEqual([['STATUS=a'], ['WATCHDOG=1']]);
  });

  it('sends the state after pending notifications of other kinds', async () => {
    const { notify, told, end } = start();
    void notify({ STATUS: 'a' });
    void notify({ WATCHDOG: '1' });
    const heard = notify({ STOPPING: '1', STATUS: 'stopping' });
    await end(0);
    expect(told()).toEqual([['STATUS=a'], ['WATCHDOG=1']]);
    await end(1, new Error('no socket'));
    expect(told().slice(2)).toEqual([['STOPPING=1', 'STATUS=stopping']]);
    await end(2);
    expect(await heard).toBe(true);
  });

  it('escapes line breaks in values, which would start another variable', () => {
    const { notify, told } = start();
    void notify({ STATUS: 'last command x\nMAINPID=1\r\0' });
    expect(told()).toEqual([[String.raw`STATUS=last command x\nMAINPID=1\r\u0000`]]);
  });

  it('logs failures once a minute, and sends the next notification', async () => {
    vi.useFakeTimers({ toFake: ['performance'] });
    onTestFinished(() => void vi.useRealTimers());
    const { notify, told, end, complaints } = start();
    for (let child = 0; child < 3; child++) {
      const heard = notify({ WATCHDOG: '1' });
      await end(child, new Error('no socket'));
      expect(await heard).toBe(false);
    }
    expect(complaints()).toHaveLength(1);
    vi.advanceTimersByTime(60_000);
    void notify({ WATCHDOG: '1' });
    await end(3, new Error('no socket'));
    expect(complaints().map(({ details }) => details['times'])).toEqual([1, 3]);
    const heard = notify({ WATCHDOG: '1' });
    await end(4);
    expect(await heard).toBe(true);
    expect(told()).toHaveLength(5);
  });
});

describe('createNotify with a failing systemd-notify', () => {
  it('reports that the program is missing', async () => {
    vi.stubEnv('PATH', temporaryFolder());
    const { log, withMessage } = recordingLog();
    expect(await createNotify(log)({ READY: '1' })).toBe(false);
    expect(withMessage('systemd-notify failed')[0]?.details['error']).toContain('ENOENT');
  });

  it.skipIf(needs('systemd-notify'))('logs the child’s stderr when nobody listens', async () => {
    vi.stubEnv('NOTIFY_SOCKET', `${temporaryFolder()}/absent`);
    const { log, withMessage } = recordingLog();
    expect(await createNotify(log)({ READY: '1' })).toBe(false);
    expect(withMessage('systemd-notify failed')[0]?.details['error']).toContain('No such file');
  });
});
