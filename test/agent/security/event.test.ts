import { describe, expect, it } from 'vitest';
import { createEventProtection } from '../../../agent/security/event.js';
import type { Protection } from '../../../agent/security/protection.js';
import { parseMessage } from '../../../shared/coap/message.js';
import { isSupersimError } from '../../../shared/errors.js';
import { protectRequest } from '../../../shared/oscore/request.js';
import { DEVICE, OPERATOR, openRequest } from '../../support/oscore.js';

const PAYLOAD = { bytes: Buffer.from('{"event":"door"}'), isJson: true };

/** Events whose numbers come when the test says so. */
function start() {
  const waiting: { readonly then: () => void; readonly giveUp: () => void }[] = [];
  let number = 0;
  const protection: Pick<Protection, 'protectEvent'> = {
    protectEvent: (_, parts) => protectRequest(DEVICE, number++, parts).message,
  };
  const numbers = { wait: (then: () => void, giveUp: () => void) => void waiting.push({ then, giveUp }) };
  return { protect: createEventProtection(protection, numbers), waiting };
}

describe('an event', () => {
  it('waits for its sequence number, and is then a message of its own', async () => {
    const { protect, waiting } = start();
    const events = [protect('ops', PAYLOAD), protect('ops', PAYLOAD)];
    for (const { then } of waiting) then();
    const messages = (await Promise.all(events)).map(parseMessage);
    const [first, second] = messages.map(({ messageId }) => messageId);
    expect(second).toBe(((first ?? 0) + 1) & 0xffff);
    for (const message of messages) {
      expect(openRequest(OPERATOR, message)).toMatchObject({ ok: true, message: { payload: PAYLOAD.bytes } });
    }
  });

  it('is given up when no number comes', async () => {
    const { protect, waiting } = start();
    const event = protect('ops', PAYLOAD).catch((error: unknown) => error);
    for (const { giveUp } of waiting) giveUp();
    expect(isSupersimError(await event, 'numbers-unavailable')).toBe(true);
  });
});
