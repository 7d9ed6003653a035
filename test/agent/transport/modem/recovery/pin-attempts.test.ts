import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { createModemFile } from '../../../../../agent/base/json-file.js';
import { createPinTries } from '../../../../../agent/transport/modem/recovery/pin-attempts.js';
import { temporaryFolder } from '../../../../support/files.js';
import { recordingLog } from '../../../../support/log.js';

const ONE = '8988307000000000001';
const OTHER = '8988307000000000002';

/** Agents one after the other, each with a configured PIN, with one state folder. */
function agents() {
  const folder = temporaryFolder();
  return {
    text: () => readFileSync(join(folder, 'modem.json'), 'utf8'),
    async start(pin: string) {
      const file = createModemFile(folder, recordingLog().log);
      return { tries: createPinTries(pin, await file.read(), file), file };
    },
  };
}

describe('a PIN that was entered and not taken', () => {
  it('is not entered again after a restart; another one is, and so is the same into another SIM', async () => {
    const { start, text } = agents();
    const { tries } = await start('1111');
    expect(await tries.mayEnter(ONE)).toBe(true);
    await tries.entering(ONE);
    await tries.refused();
    expect(await tries.mayEnter(ONE)).toBe(false);
    const { tries: again } = await start('1111');
    expect(await again.mayEnter(ONE)).toBe(false);
    expect(await again.mayEnter(undefined)).toBe(false);
    expect(await again.mayEnter(OTHER)).toBe(true);
    expect(await (await start('2222')).tries.mayEnter(ONE)).toBe(true);
    // Not the PIN, and nothing that is the same for it each time.
    const { pin: kept } = JSON.parse(text());
    expect(Object.keys(kept).sort()).toEqual(['digest', 'iccid', 'refused', 'salt']);
    const { tries: elsewhere, file } = await agents().start('1111');
    await elsewhere.entering(ONE);
    expect(await file.read()).not.toMatchObject({ pin: { digest: kept.digest } });
  });

  it('is known although the agent ended before the SIM had answered', async () => {
    const { start } = agents();
    await (await start('1111')).tries.entering(undefined);
    const { tries } = await start('1111');
    expect(await tries.mayEnter(ONE)).toBe(false);
    // It does not ask any more: it was taken.
    await tries.notAsked();
    expect(await (await start('1111')).tries.mayEnter(ONE)).toBe(true);
  });

  it('stays known when the SIM does not ask, as somebody has entered another', async () => {
    const { start } = agents();
    const { tries } = await start('1111');
    await tries.entering(ONE);
    await tries.refused();
    await tries.notAsked();
    expect(await (await start('1111')).tries.mayEnter(ONE)).toBe(false);
  });

  it('is forgotten once it was taken', async () => {
    const { start } = agents();
    const { tries } = await start('1111');
    await tries.entering(ONE);
    await tries.taken();
    expect(await (await start('1111')).tries.mayEnter(ONE)).toBe(true);
  });

  it('is kept beside what else is', async () => {
    const { start } = agents();
    const { tries, file } = await start('1111');
    await tries.entering(ONE);
    await file.write({ rung: 'reset' });
    const { tries: again, file: second } = await start('1111');
    expect(await again.mayEnter(ONE)).toBe(false);
    await second.write({ rung: null });
    expect(await second.read()).toMatchObject({ rung: null, pin: { iccid: ONE } });
  });
});
