import { hkdfSync } from 'node:crypto';
import { deriveContext, type SecurityContext } from './context.js';
import { MAX_KID_CONTEXT_BYTES } from './option.js';

/** Length of a fleet key, from which the master secrets of all devices are derived. */
export const FLEET_KEY_BYTES = 32;

/** Length of a device’s master secret. */
export const MASTER_SECRET_BYTES = 16;
const MASTER_SECRET_INFO = 'supersim-agent/oscore/1';
const PRINTABLE_ASCII = /^[\x20-\x7e]+$/;
/** The Sender ID of every device. */
const DEVICE_SENDER_ID = Buffer.alloc(0);
/** The highest Sender ID of an operator; the lowest is 1. */
export const MAX_KID = 0xff;

/**
 * Derives a device's master secret from the fleet key. A stolen device exposes only its own.
 *
 * @throws RangeError when the key or the device id is not of the right form
 */
export function deviceMasterSecret(fleetKey: Buffer, deviceId: string): Buffer {
  if (fleetKey.length !== FLEET_KEY_BYTES) throw new RangeError(`a fleet key has ${FLEET_KEY_BYTES} bytes`);
  const salt = idContextOf(deviceId);
  return Buffer.from(hkdfSync('sha256', fleetKey, salt, MASTER_SECRET_INFO, MASTER_SECRET_BYTES));
}

/** A key that a device and an operator share. */
export interface SharedKey {
  /** As {@link deviceMasterSecret} returns it. */
  readonly masterSecret: Buffer;
  readonly deviceId: string;
  /** The operator's Sender ID: 1 to {@link MAX_KID}. */
  readonly kid: number;
}

/**
 * Derives a device's security context with an operator. As the device's Sender ID is always empty, its Sender Key and
 * Common IV are the same for every kid of one master secret: all these contexts must share one sequence number.
 *
 * @throws RangeError when the device id or the kid is not of the right form
 */
export const deviceContext = ({ masterSecret, deviceId, kid }: SharedKey): SecurityContext =>
  deriveContext({
    masterSecret,
    idContext: idContextOf(deviceId),
    senderId: DEVICE_SENDER_ID,
    recipientId: senderIdOf(kid),
  });

/**
 * Derives the operator's side of {@link deviceContext}.
 *
 * @throws RangeError when the device id or the kid is not of the right form
 */
export const operatorContext = ({ masterSecret, deviceId, kid }: SharedKey): SecurityContext =>
  deriveContext({
    masterSecret,
    idContext: idContextOf(deviceId),
    senderId: senderIdOf(kid),
    recipientId: DEVICE_SENDER_ID,
  });

/** Tells whether a text can be a device id: printable ASCII, of at most {@link MAX_KID_CONTEXT_BYTES} characters. */
export const isDeviceId = (text: string): boolean => text.length <= MAX_KID_CONTEXT_BYTES && PRINTABLE_ASCII.test(text);

/** The ID Context is the device id. */
function idContextOf(deviceId: string): Buffer {
  if (!isDeviceId(deviceId)) {
    throw new RangeError(`a device id has 1 to ${MAX_KID_CONTEXT_BYTES} characters of printable ASCII`);
  }
  return Buffer.from(deviceId, 'ascii');
}

function senderIdOf(kid: number): Buffer {
  if (!Number.isInteger(kid) || kid < 1 || kid > MAX_KID) throw new RangeError(`a kid is from 1 to ${MAX_KID}`);
  return Buffer.of(kid);
}
