import { type IpCommand, payloadBytes } from '../../shared/ip-command.js';
import type { Callback } from '../webhooks/callback.js';
import { type DecodedDatagram, decodeDatagram } from './decode.js';

/** The status of a command that was sent. */
interface StatusUpdate {
  readonly kind: 'status';
  readonly errorCode?: number | undefined;
  readonly errorMessage?: string | undefined;
}

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
} & (DecodedDatagram | StatusUpdate);

export function eventOfCallback(callback: Callback, now = new Date()): DeviceEvent {
  const { payload, errorCode, errorMessage, ...known } = callback;
  const heardAt = now.toISOString();
  if (callback.direction === 'to_sim' || payload === undefined) {
    return { ...known, heardAt, kind: 'status', errorCode, errorMessage };
  }
  return { ...known, heardAt, ...decodeDatagram(payload) };
}

export function eventOfCommand(command: IpCommand, now = new Date()): DeviceEvent {
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
    ...decodeDatagram(payloadBytes(command)),
  };
}
