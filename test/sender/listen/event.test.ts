import { describe, expect, it } from 'vitest';
import { type DeviceEvent, eventOfCommand } from '../../../sender/listen/event.js';
import { formatJson, formatLine } from '../../../sender/listen/print.js';
import type { ReportedDatagram } from '../../../sender/security/events.js';
import { formatMessage } from '../../../shared/coap/message.js';
import { OPTION } from '../../../shared/coap/options.js';
import { ipCommand, SIM } from '../support.js';

const eventOf = (bytes: string | Buffer, opened?: ReportedDatagram): DeviceEvent => {
  const payload = Buffer.from(bytes).toString('base64');
  const command = ipCommand(1, { direction: 'from_sim', status: 'received', payload_type: 'binary', payload });
  return eventOfCommand(command, opened, new Date(0));
};

const authentic = (body: string | Buffer, fresh: true | 'unknown' = true): ReportedDatagram => ({
  ...{ kind: 'event', authentic: true, fresh, deviceId: '8988', payload: Buffer.from(body) },
});
const unprotected = (hasKey: boolean): ReportedDatagram => ({ kind: 'unprotected', authentic: false, hasKey });
const sealed = (reason: 'no-key' | 'revoked' | 'bad-tag'): ReportedDatagram => ({
  kind: 'sealed',
  authentic: false,
  reason,
});

const line = (event: DeviceEvent) => formatLine(event).split(` ${SIM} `)[1];

describe('an event of a device', () => {
  it('is shown as authentic when its device has protected it', () => {
    const event = eventOf('cipher', authentic('{"event":"door.opened","data":{"door":3}}'));
    expect(JSON.parse(formatJson(event))).toMatchObject({
      ...{ kind: 'event', event: 'door.opened', data: { door: 3 } },
      ...{ authentic: true, fresh: true, deviceId: '8988' },
    });
    expect(line(event)).toBe('event door.opened {"door":3} (authentic)');
  });

  it('is marked when it may be an old one', () => {
    const event = eventOf('cipher', authentic('{"event":"started"}', 'unknown'));
    expect(event).toMatchObject({ authentic: true, fresh: 'unknown' });
    expect(line(event)).toBe('event started (authentic, may be old)');
  });

  it.each(['#7 ok pong', '{"id":7,"result":1}', Buffer.from('60440001', 'hex')])(
    'is no reply, even if its body (%s) looks like one',
    (body) => {
      expect(eventOf('cipher', authentic(body))).toMatchObject({
        ...{ kind: 'message', format: 'bytes', value: Buffer.from(body), authentic: true },
      });
    },
  );

  it('is marked when it is not protected although the SIM has a key', () => {
    const event = eventOf('{"event":"started"}', unprotected(true));
    expect(event).toMatchObject({ kind: 'event', authentic: false, reason: 'unprotected' });
    expect(line(event)).toBe('event started (not authentic: the SIM has a key)');
  });

  it('of a SIM without a key is shown as ever, and is not authentic', () => {
    const event = eventOf('{"event":"started"}', unprotected(false));
    expect(event).toMatchObject({ kind: 'event', authentic: false });
    expect(event).not.toHaveProperty('reason');
    expect(line(event)).toBe('event started');
  });

  it.each([
    ['no-key', 'it is protected, and no key for it is known'],
    ['revoked', 'its key was revoked'],
    ['bad-tag', 'it was changed, or is not of this SIM'],
  ] as const)('that cannot be opened says why: %s', (reason, why) => {
    const event = eventOf(Buffer.of(0x50, 2), sealed(reason));
    expect(event).toMatchObject({ kind: 'sealed', authentic: false, reason, value: Buffer.of(0x50, 2) });
    expect(line(event)).toBe(`bytes 0x5002 (not authentic: ${why})`);
  });
});

it('a protected reply is shown by its token, and nothing is said about it', () => {
  const options = [{ number: OPTION.oscore, value: Buffer.of(1, 5) }];
  const message = { code: '2.04', messageId: 1, token: Buffer.of(0xab), options, payload: Buffer.alloc(20, 1) };
  const event = eventOf(formatMessage({ type: 'NON', ...message }), { kind: 'response' });
  expect(event).toMatchObject({ kind: 'reply', id: 'ab', protected: true });
  expect(event).not.toHaveProperty('authentic');
  expect(line(event)).toBe('reply ab protected');
});
