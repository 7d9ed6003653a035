import { type IpCommand, payloadBytes } from '../../shared/ip-command.js';
import type { Callback } from '../webhooks/callback.js';
import { decodeDatagram, type Said } from './decode.js';

/** What became of a command that was sent. */
interface Status {
  readonly kind: 'status';
  readonly errorCode?: number | undefined;
  readonly errorMessage?: string | undefined;
}

/** What is heard of an IP Command, decoded: as much as the vendor says. */
export type Heard = {
  /** Of the IP Command. */
  readonly sid: string | undefined;
  readonly simSid: string | undefined;
  readonly simUniqueName: string | undefined;
  readonly simIccid: string | undefined;
  readonly direction: IpCommand['direction'];
  readonly status: IpCommand['status'];
  readonly deviceIp: string | undefined;
  readonly devicePort: number | undefined;
  /** UTC, by our clock. */
  readonly heardAt: string;
} & (Said | Status);

export function fromCallback(callback: Callback, now = new Date()): Heard {
  const { payload, errorCode, errorMessage, ...known } = callback;
  const heardAt = now.toISOString();
  if (callback.direction === 'to_sim' || payload === undefined) {
    return { ...known, heardAt, kind: 'status', errorCode, errorMessage };
  }
  return { ...known, heardAt, ...decodeDatagram(payload) };
}

export function fromResource(command: IpCommand, now = new Date()): Heard {
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
