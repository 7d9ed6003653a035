import * as z from 'zod';
import { DIRECTIONS, type IpCommand, PAYLOAD_TYPES, STATUSES } from '../../shared/ip-command.js';
import type { ReportedDatagram } from '../security/events.js';

/**
 * The parameters of a callback about an IP Command. The vendor documents neither their names nor which of them are
 * always present (docs/vendor-facts.md, "Webhooks: parameters").
 */
export interface Callback {
  readonly direction: IpCommand['direction'];
  readonly status: IpCommand['status'];
  /** `HG…` */
  readonly sid: string | undefined;
  readonly simSid: string | undefined;
  readonly simUniqueName: string | undefined;
  readonly simIccid: string | undefined;
  readonly deviceIp: string | undefined;
  readonly devicePort: number | undefined;
  /** The device's datagram; for a to_sim command undefined unless the vendor repeats the payload. */
  readonly payload: Buffer | undefined;
  /** Why a to_sim command has the status `failed`, such as 83401. */
  readonly errorCode: number | undefined;
  readonly errorMessage: string | undefined;
  /** What the datagram turned out to be; of from_sim commands where the receiver has keys (`security`). */
  readonly opened?: ReportedDatagram | undefined;
}

const text = z.string().min(1).optional().catch(undefined);
const sid = (prefix: string) =>
  z
    .string()
    .regex(new RegExp(`^${prefix}[0-9a-fA-F]{32}$`))
    .optional()
    .catch(undefined);
const number = z
  .string()
  .regex(/^\d{1,9}$/)
  .transform(Number)
  .optional()
  .catch(undefined);

const paramsSchema = z.object({
  Sid: sid('HG'),
  IpCommandSid: sid('HG'),
  CommandSid: sid('HG'),
  SimSid: sid('HS'),
  SimUniqueName: text,
  SimIccid: text,
  Status: z.enum(STATUSES).optional(),
  Direction: z.enum(DIRECTIONS).optional(),
  DeviceIp: text,
  DevicePort: number,
  PayloadType: z.enum(PAYLOAD_TYPES).default('binary'),
  Payload: z.string().optional(),
  ErrorCode: number,
  ErrorMessage: text,
});

type Params = z.output<typeof paramsSchema>;

/** RFC 4648 §4. */
const BASE64 = /^[A-Za-z0-9+/]*={0,2}$/;

/** Parses a callback's parameters. @returns undefined when they are not those of an IP Command */
export function parseCallback(given: URLSearchParams): Callback | undefined {
  const { data: params } = paramsSchema.safeParse(Object.fromEntries(given));
  const direction = params && directionOf(params);
  if (params === undefined || direction === undefined) return undefined;
  const status = params.Status ?? (direction === 'from_sim' ? 'received' : undefined);
  const payload = payloadOf(params);
  if (status === undefined || payload === 'malformed') return undefined;
  if (direction === 'from_sim' && payload === undefined) return undefined;
  return {
    direction,
    status,
    sid: params.Sid ?? params.IpCommandSid ?? params.CommandSid,
    simSid: params.SimSid,
    simUniqueName: params.SimUniqueName,
    simIccid: params.SimIccid,
    deviceIp: params.DeviceIp,
    devicePort: params.DevicePort,
    payload,
    errorCode: params.ErrorCode,
    errorMessage: params.ErrorMessage,
  };
}

/** The only callbacks of IP Commands that are published have a payload and a SIM's name, but no direction. */
function directionOf({ Direction, Status, Payload }: Params): Callback['direction'] | undefined {
  if (Direction !== undefined) return Direction;
  if (Status === undefined || Status === 'received') return Payload === undefined ? undefined : 'from_sim';
  return 'to_sim';
}

function payloadOf({ Payload, PayloadType }: Params): Buffer | 'malformed' | undefined {
  if (Payload === undefined) return undefined;
  if (PayloadType === 'text') return Buffer.from(Payload, 'utf8');
  return BASE64.test(Payload) ? Buffer.from(Payload, 'base64') : 'malformed';
}
