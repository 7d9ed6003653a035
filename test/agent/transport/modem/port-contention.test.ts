import { chmodSync } from 'node:fs';
import { dirname } from 'node:path';
import { describe, expect, it } from 'vitest';
import { createRivalWatch, isForeign } from '../../../../agent/transport/modem/port-contention.js';
import { openBy } from '../../../support/holder.js';
import { recordingLog } from '../../../support/log.js';
import { needs } from '../../../support/needs.js';
import { asNobody } from '../../../support/nobody.js';
import { linkPath, openPty } from '../../../support/pty.js';

const MESSAGE = 'another program has the modem’s port open';

describe.skipIf(needs('python3'))('another program on the modem’s port', () => {
  it('is named once, with what to do; one that comes later is named too', async () => {
    const link = linkPath();
    const pty = await openPty(link);
    const { log, withMessage } = recordingLog();
    const rivals = createRivalWatch(link, log);
    await rivals.opened();
    expect(withMessage(MESSAGE)).toEqual([]);
    const first = await openBy('ModemManager', pty.device);
    for (let times = 0; times < 3; times++) await rivals.opened();
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
    await rivals.suspect();
    expect(withMessage(MESSAGE)).toHaveLength(2);
  });

  it('is looked for at most once a minute where something is wrong', async () => {
    const link = linkPath();
    const pty = await openPty(link);
    const { log, withMessage } = recordingLog();
    let now = 0;
    const rivals = createRivalWatch(link, log, () => now);
    await rivals.suspect();
    await openBy('ModemManager', pty.device);
    now = 59_000;
    await rivals.suspect();
    expect(withMessage(MESSAGE)).toEqual([]);
    now = 61_000;
    await rivals.suspect();
    expect(withMessage(MESSAGE)).toHaveLength(1);
  });

  it.skipIf(needs('root'))('is a suspect only when something is wrong, where this user cannot see', async () => {
    const link = linkPath();
    const pty = await openPty(link);
    chmodSync(dirname(link), 0o755);
    await openBy('ModemManager', pty.device);
    const { log, withMessage } = recordingLog();
    const rivals = createRivalWatch(link, log);
    await asNobody(rivals.opened);
    expect(withMessage(MESSAGE)).toEqual([]);
    await asNobody(rivals.suspect);
    expect(withMessage(MESSAGE)).toMatchObject([{ details: { holders: [expect.stringMatching(/^perhaps ModemM/)] } }]);
  });
});

describe('what looks like another program', () => {
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
