import { type IpCommand, payloadBytes } from '../../shared/ip-command.js';
import type { EventFreshness } from '../security/event-windows.js';
import type { ReportedDatagram, SealedReason } from '../security/events.js';
import type { SimNames } from '../security/operator-key.js';
import type { Callback } from '../webhooks/callback.js';
import { type DecodedDatagram, decodeDatagram } from './decode.js';

/** The status of a command that was sent. */
interface StatusUpdate {
  readonly kind: 'status';
  readonly errorCode?: number | undefined;
  readonly errorMessage?: string | undefined;
}

/** A message of a device that is protected and cannot be opened. */
interface SealedDatagram {
  readonly format: 'coap';
  readonly kind: 'sealed';
  /** As it came. */
  readonly value: Buffer;
}

/** Whether a datagram is the SIM's own; without members where nothing can be said, as for a protected reply. */
export interface Authenticity {
  /** False: anyone may have written it. */
  readonly authentic?: boolean;
  /** Set when it is authentic; `unknown`: it may be an old one. */
  readonly fresh?: EventFreshness;
  /** Set when it is authentic: the device whose key it is. */
  readonly deviceId?: string;
  /** Why it is not authentic: `unprotected` although the SIM has a key, or why it cannot be opened. */
  readonly reason?: 'unprotected' | SealedReason;
}

/** A datagram of a device, opened and decoded. */
export type ReadDatagram = (DecodedDatagram | SealedDatagram) & Authenticity;

/** An event of an IP Command, with its decoded payload; undefined where the vendor does not say. */
export type DeviceEvent = {
  /** The SID of the IP Command. */
  readonly sid: string | undefined;
  readonly simSid: string | undefined;
  readonly simUniqueName: string | undefined;
  readonly simIccid: string | undefined;
  readonly direction: IpCommand['direction'];
  readonly status: IpCommand['status'];
  readonly deviceIp: string | undefined;
  readonly devicePort: number | undefined;
  /** UTC, by this machine's clock. */
  readonly heardAt: string;
} & (ReadDatagram | (StatusUpdate & Authenticity));

export function eventOfCallback(callback: Callback, now = new Date()): DeviceEvent {
  const { payload, errorCode, errorMessage, opened, ...known } = callback;
  const heardAt = now.toISOString();
  if (callback.direction === 'to_sim' || payload === undefined) {
    return { ...known, heardAt, kind: 'status', errorCode, errorMessage };
  }
  return { ...known, heardAt, ...readDatagram(payload, opened) };
}

export function eventOfCommand(command: IpCommand, opened?: ReportedDatagram, now = new Date()): DeviceEvent {
  const { sid, sim_sid, sim_iccid, direction, status, device_ip, device_port } = command;
  return {
    sid,
    simSid: sim_sid,
    simUniqueName: undefined,
    simIccid: sim_iccid ?? undefined,
    direction,
    status,
    deviceIp: device_ip ?? undefined,
    devicePort: device_port,
    heardAt: now.toISOString(),
    ...readDatagram(payloadBytes(command), opened),
  };
}

/** What the list says about the SIM of a command. */
export const simNamesOf = ({ sim_sid: sid, sim_iccid }: IpCommand): SimNames => ({
  sid,
  iccid: sim_iccid ?? undefined,
});

/** Decodes a datagram of a device, and says whether it is authentic. */
export function readDatagram(payload: Buffer, opened: ReportedDatagram | undefined): ReadDatagram {
  switch (opened?.kind) {
    case 'event': {
      const { authentic, fresh, deviceId } = opened;
      return { ...decodeBody(opened.payload), authentic, fresh, deviceId };
    }
    case 'sealed':
      return { format: 'coap', kind: 'sealed', value: payload, authentic: false, reason: opened.reason };
    case 'unprotected':
      return { ...decodeDatagram(payload), authentic: false, ...(opened.hasKey && { reason: 'unprotected' }) };
    default:
      return decodeDatagram(payload);
  }
}

/** The body of an authentic event is not the reply that it may look like. */
function decodeBody(body: Buffer): DecodedDatagram {
  const decoded = decodeDatagram(body);
  return decoded.kind === 'event' || decoded.kind === 'message'
    ? decoded
    : { format: 'bytes', kind: 'message', value: body };
}
