import { createHmac } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import { deviceContext, deviceMasterSecret, operatorContext } from '../../../shared/oscore/identities.js';
import { KEY } from '../../support/oscore.js';

const FLEET_KEY = Buffer.from(Array.from({ length: 32 }, (_, index) => index));

describe('a device’s master secret', () => {
  it('is the HKDF of the fleet key, salted by the device id', () => {
    const extracted = createHmac('sha256', '8988307000000000001').update(FLEET_KEY).digest();
    const expanded = createHmac('sha256', extracted).update('supersim-agent/oscore/1\x01').digest();
    expect(deviceMasterSecret(FLEET_KEY, '8988307000000000001')).toEqual(expanded.subarray(0, 16));
  });

  it('is another one for each device', () => {
    const ids = ['8988307000000000001', '8988307000000000002', 'gateway-7'];
    expect(new Set(ids.map((id) => deviceMasterSecret(FLEET_KEY, id).toString('hex'))).size).toBe(ids.length);
  });

  it.each([0, 16, 31, 33, 64])('is not derived from a fleet key of %i bytes', (length) => {
    expect(() => deviceMasterSecret(Buffer.alloc(length), 'gateway')).toThrow(RangeError);
  });

  it.each(['', 'é', 'a\n', '\0', 'a'.repeat(242)])('is not derived for the device id %j', (id) => {
    expect(() => deviceMasterSecret(FLEET_KEY, id)).toThrow(RangeError);
  });
});

describe('the contexts of a device and an operator', () => {
  it('have each other’s keys', () => {
    const device = deviceContext(KEY);
    const operator = operatorContext(KEY);
    expect(device.senderKey.equals(operator.recipientKey)).toBe(true);
    expect(device.recipientKey.equals(operator.senderKey)).toBe(true);
    expect(device.senderIv).toEqual(operator.recipientIv);
    expect(device.recipientIv).toEqual(operator.senderIv);
  });

  it('have an empty Sender ID of the device, the kid of the operator, and the device id as ID Context', () => {
    const { senderId, recipientId, idContext } = deviceContext({ ...KEY, kid: 255 });
    expect([senderId, recipientId, idContext]).toEqual([
      Buffer.alloc(0),
      Buffer.of(255),
      Buffer.from('8988307000000000000'),
    ]);
  });

  it('have one key of the device for all kids, and a key for each operator', () => {
    const [one, other] = [deviceContext({ ...KEY, kid: 1 }), deviceContext({ ...KEY, kid: 2 })];
    expect(one.senderKey.equals(other.senderKey)).toBe(true);
    expect(one.recipientKey.equals(other.recipientKey)).toBe(false);
  });

  it.each([0, 256, -1, 1.5, Number.NaN])('have no kid %d', (kid) => {
    expect(() => deviceContext({ ...KEY, kid })).toThrow(RangeError);
    expect(() => operatorContext({ ...KEY, kid })).toThrow(RangeError);
  });
});
