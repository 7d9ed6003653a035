import * as z from 'zod';

export const DIRECTIONS = ['to_sim', 'from_sim'] as const;
export const STATUSES = ['queued', 'sent', 'received', 'failed'] as const;
export const PAYLOAD_TYPES = ['text', 'binary'] as const;

const sid = (prefix: string) => z.string().regex(new RegExp(`^${prefix}[0-9a-fA-F]{32}$`));
const date = z.iso.datetime();

/**
 * The IP Command resource of both vendors' OpenAPI documents: thirteen members, none about errors. Members that are
 * added later pass.
 */
export const ipCommandSchema = z.object({
  sid: sid('HG'),
  account_sid: sid('AC'),
  sim_sid: sid('HS'),
  sim_iccid: z.string().nullable(),
  status: z.enum(STATUSES),
  direction: z.enum(DIRECTIONS),
  /** null until the command is `sent`. */
  device_ip: z.string().nullable(),
  /** to_sim: the datagram's destination port; from_sim: its source port. */
  device_port: z.int(),
  payload_type: z.enum(PAYLOAD_TYPES),
  /** Base64 when `payload_type` is `binary`, which from_sim always is. */
  payload: z.string(),
  date_created: date,
  date_updated: date,
  url: z.string(),
});

export type IpCommand = z.infer<typeof ipCommandSchema>;

/** Returns the bytes of an IP Command's datagram. */
export function payloadBytes({ payload, payload_type }: Pick<IpCommand, 'payload' | 'payload_type'>): Buffer {
  return Buffer.from(payload, payload_type === 'binary' ? 'base64' : 'utf8');
}
