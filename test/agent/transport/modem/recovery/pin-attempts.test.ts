import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { createJsonFile } from '../../../../../agent/base/json-file.js';
import { createPinAttempts } from '../../../../../agent/transport/modem/recovery/pin-attempts.js';
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
      const file = createJsonFile(join(folder, 'modem.json'), recordingLog().log);
      return { attempts: createPinAttempts(pin, await file.read(), file), file };
    },
  };
}

describe('a PIN that was entered and not accepted', () => {
  it('is not entered again after a restart, unless it is another PIN or another SIM', async () => {
    const { start, text } = agents();
    const { attempts } = await start('1111');
    expect(await attempts.mayEnter(ONE)).toBe(true);
    await attempts.recordAttempt(ONE);
    await attempts.recordRefused();
    expect(await attempts.mayEnter(ONE)).toBe(false);
    const { attempts: again } = await start('1111');
    expect(await again.mayEnter(ONE)).toBe(false);
    expect(await again.mayEnter(undefined)).toBe(false);
    expect(await again.mayEnter(OTHER)).toBe(true);
    expect(await (await start('2222')).attempts.mayEnter(ONE)).toBe(true);
    // Not the PIN, and nothing that is the same for it each time.
    const { pin: kept } = JSON.parse(text());
    expect(Object.keys(kept).sort()).toEqual(['digest', 'iccid', 'refused', 'salt']);
    const { attempts: elsewhere, file } = await agents().start('1111');
    await elsewhere.recordAttempt(ONE);
    expect(await file.read()).not.toMatchObject({ pin: { digest: kept.digest } });
  });

  it('is remembered when the agent ended before the SIM answered', async () => {
    const { start } = agents();
    await (await start('1111')).attempts.recordAttempt(undefined);
    const { attempts } = await start('1111');
    expect(await attempts.mayEnter(ONE)).toBe(false);
    // It does not ask any more: it was taken.
    await attempts.recordUnlocked();
    expect(await (await start('1111')).attempts.mayEnter(ONE)).toBe(true);
  });

  it('is remembered when the SIM does not ask for a PIN after it was refused', async () => {
    const { start } = agents();
    const { attempts } = await start('1111');
    await attempts.recordAttempt(ONE);
    await attempts.recordRefused();
    await attempts.recordUnlocked();
    expect(await (await start('1111')).attempts.mayEnter(ONE)).toBe(false);
  });

  it('is forgotten once it was accepted', async () => {
    const { start } = agents();
    const { attempts } = await start('1111');
    await attempts.recordAttempt(ONE);
    await attempts.recordAccepted();
    expect(await (await start('1111')).attempts.mayEnter(ONE)).toBe(true);
  });

  it('is stored beside the other members of the file', async () => {
    const { start } = agents();
    const { attempts, file } = await start('1111');
    await attempts.recordAttempt(ONE);
    await file.write({ rung: 'reset' });
    const { attempts: again, file: second } = await start('1111');
    expect(await again.mayEnter(ONE)).toBe(false);
    await second.write({ rung: null });
    expect(await second.read()).toMatchObject({ rung: null, pin: { iccid: ONE } });
  });
});
