import { chmodSync } from 'node:fs';
import { dirname } from 'node:path';
import { describe, expect, it } from 'vitest';
import { createContentionCheck, isForeign } from '../../../../agent/transport/modem/port-contention.js';
import { openBy } from '../../../support/holder.js';
import { recordingLog } from '../../../support/log.js';
import { needs } from '../../../support/needs.js';
import { asNobody } from '../../../support/nobody.js';
import { linkPath, openPty } from '../../../support/pty.js';

const MESSAGE = 'another program has the modem’s port open';

describe.skipIf(needs('python3'))('another program that has the modem’s port open', () => {
  it('is logged once with a remedy, and so is one that opens it later', async () => {
    const link = linkPath();
    const pty = await openPty(link);
    const { log, withMessage } = recordingLog();
    const contention = createContentionCheck(link, log);
    await contention.opened();
    expect(withMessage(MESSAGE)).toEqual([]);
    const first = await openBy('ModemManager', pty.device);
    for (let times = 0; times < 3; times++) await contention.opened();
    expect(withMessage(MESSAGE)).toMatchObject([
      {
        level: 'warn',
        details: {
          path: link,
          holders: [expect.stringMatching(`^ModemManager \\(pid ${first}`)],
          remedy: expect.stringContaining('udev'),
        },
      },
    ]);
    await openBy('ModemManager', pty.device);
    await contention.check();
    expect(withMessage(MESSAGE)).toHaveLength(2);
  });

  it('is looked for at most once a minute after foreign traffic or silence', async () => {
    const link = linkPath();
    const pty = await openPty(link);
    const { log, withMessage } = recordingLog();
    let now = 0;
    const contention = createContentionCheck(link, log, () => now);
    await contention.check();
    await openBy('ModemManager', pty.device);
    now = 59_000;
    await contention.check();
    expect(withMessage(MESSAGE)).toEqual([]);
    now = 61_000;
    await contention.check();
    expect(withMessage(MESSAGE)).toHaveLength(1);
  });

  it.skipIf(needs('root'))(
    'is reported as possible only after foreign traffic or silence, where this user may not see open files',
    async () => {
      const link = linkPath();
      const pty = await openPty(link);
      chmodSync(dirname(link), 0o755);
      await openBy('ModemManager', pty.device);
      const { log, withMessage } = recordingLog();
      const contention = createContentionCheck(link, log);
      await asNobody(contention.opened);
      expect(withMessage(MESSAGE)).toEqual([]);
      await asNobody(contention.check);
      // Other tests may run programs of this name at the same time.
      const holders = expect.arrayContaining([expect.stringMatching(/^perhaps ModemManager/)]);
      expect(withMessage(MESSAGE)).toMatchObject([{ details: { holders } }]);
    },
  );
});

describe('whether a modem event hints at another program', () => {
  const bytes = Buffer.from('AT+GCAP');
  it.each([
    [{ kind: 'discarded', reason: 'foreign-echo', bytes }, true],
    [{ kind: 'discarded', reason: 'noise', bytes }, false],
    [{ kind: 'result', text: 'OK', ok: true, lines: [], payloads: 0 }, true],
    [{ kind: 'result', command: 'AT', text: 'OK', ok: true, lines: [], payloads: 0 }, false],
  ] as const)('%j: %s', (event, foreign) => {
    expect(isForeign(event)).toBe(foreign);
  });
});
