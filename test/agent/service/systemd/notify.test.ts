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

describe('what systemd is told', () => {
  it('is in one message, and is heard when the child ends well', async () => {
    const { notify, told, end } = start();
    const heard = notify({ READY: '1', STATUS: 'udp up' });
    await settled();
    expect(told()).toEqual([['READY=1', 'STATUS=udp up']]);
    await end(0);
    expect(await heard).toBe(true);
  });

  it('has one child at a time for each kind, and of what waits only the newest is told', async () => {
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

  it('is no sign of life that waits for others', async () => {
    const { notify, told } = start();
    void notify({ STATUS: 'a' });
    void notify({ READY: '1', STATUS: 'b' });
    void notify({ WATCHDOG: '1' });
    await settled();
    expect(told()).toEqual([['STATUS=a'], ['WATCHDOG=1']]);
  });

  it('is the state last: what is on its way cannot be heard after it', async () => {
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

  it('has no line break in a value: what follows would be a variable of its own', () => {
    const { notify, told } = start();
    void notify({ STATUS: 'last command x\nMAINPID=1\r\0' });
    expect(told()).toEqual([[String.raw`STATUS=last command x\nMAINPID=1\r\u0000`]]);
  });

  it('fails without harm: what comes next is told, and the log says so once a minute', async () => {
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

describe('a child that cannot do its work', () => {
  it('for it is not there', async () => {
    vi.stubEnv('PATH', temporaryFolder());
    const { log, withMessage } = recordingLog();
    expect(await createNotify(log)({ READY: '1' })).toBe(false);
    expect(withMessage('systemd-notify failed')[0]?.details['error']).toContain('ENOENT');
  });

  it.skipIf(needs('systemd-notify'))('for nobody listens: the log has what it said', async () => {
    vi.stubEnv('NOTIFY_SOCKET', `${temporaryFolder()}/absent`);
    const { log, withMessage } = recordingLog();
    expect(await createNotify(log)({ READY: '1' })).toBe(false);
    expect(withMessage('systemd-notify failed')[0]?.details['error']).toContain('No such file');
  });
});
