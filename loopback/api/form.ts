import * as z from 'zod';
import { PAYLOAD_TYPES } from '../../shared/ip-command.js';
import { MAX_PAYLOAD_BYTES } from '../../shared/limits.js';
import { DEFAULT_PAGE_SIZE, PAGE_TOKEN, type PageRequest } from '../account/paging.js';
import type { Assumptions } from '../vendor-assumptions.js';
import { badParameter, VendorError } from '../vendor-error.js';

const MAX_URL_LENGTH = 4096;

const method = z.enum(['GET', 'POST']);
const url = z.url({ protocol: /^https?$/, error: 'must be an http or https URL' }).max(MAX_URL_LENGTH);

const createSchema = z.object({
  Sim: z.string().min(1),
  Payload: z.string(),
  DevicePort: z.string(),
  PayloadType: z.enum(PAYLOAD_TYPES).default('text'),
  CallbackUrl: url.optional(),
  CallbackMethod: method.default('POST'),
});

const fleetSchema = z.object({
  /** Empty removes the URL. */
  IpCommandsUrl: z.union([z.literal(''), url]).optional(),
  IpCommandsMethod: method.optional(),
});

const pageSchema = z.object({
  PageSize: z
    .string()
    .regex(/^\d{1,9}$/)
    .transform(Number)
    .pipe(z.int().min(1))
    .default(DEFAULT_PAGE_SIZE),
  Page: z
    .string()
    .regex(/^\d{1,9}$/)
    .transform(Number)
    .default(0),
  PageToken: z.string().regex(PAGE_TOKEN).optional(),
});

/**
 * Parses the parameters of a form or a query; unknown ones are ignored, and names are case-sensitive.
 *
 * @throws VendorError 400 for a missing or bad parameter
 */
export function parseParams<S extends z.ZodType>(schema: S, params: URLSearchParams): z.output<S> {
  const given = Object.fromEntries(params);
  const result = schema.safeParse(given);
  if (result.success) return result.data;
  const [issue] = result.error.issues;
  const name = String(issue?.path[0] ?? '');
  throw name in given
    ? badParameter(`Invalid parameter ${name}: ${issue?.message ?? ''}`)
    : badParameter(`Missing required parameter ${name} in the form-encoded body`);
}

export const parseFleetUpdate = (form: URLSearchParams) => parseParams(fleetSchema, form);

/**
 * @param most the greatest PageSize
 * @throws VendorError 400 as {@link parseParams}, or for a PageSize that `pageSizeOverMax` refuses
 */
export function parsePage(
  query: URLSearchParams,
  most: number,
  { pageSizeOverMax }: Pick<Assumptions, 'pageSizeOverMax'>,
): PageRequest {
  const { PageSize, Page, PageToken } = parseParams(pageSchema, query);
  if (PageSize > most && pageSizeOverMax === 'refuse') {
    throw badParameter(`Invalid parameter PageSize: at most ${most}`);
  }
  return { pageSize: Math.min(PageSize, most), page: Page, pageToken: PageToken };
}

/**
 * Parses the parameters of POST /v1/IpCommands; whether the SIM exists is not checked.
 *
 * @throws VendorError 400 as {@link parseParams}, or as the assumptions say
 */
export function parseCreate(form: URLSearchParams, assumptions: Assumptions) {
  const { Sim, Payload, DevicePort, PayloadType, CallbackUrl, CallbackMethod } = parseParams(createSchema, form);
  const devicePort = /^\d{1,5}$/.test(DevicePort) ? Number(DevicePort) : 0;
  if (devicePort < 1 || devicePort > 65_535) {
    throw refusal(assumptions.badPort, 'Invalid parameter DevicePort: must be an integer from 1 to 65535');
  }
  if (PayloadType === 'binary' && !isBase64(Payload)) {
    throw refusal(assumptions.badBase64, 'Invalid parameter Payload: must be Base64 when PayloadType is binary');
  }
  const size = payloadSize(Payload, PayloadType, assumptions.sizeRule);
  if (size > MAX_PAYLOAD_BYTES) {
    throw refusal(assumptions.oversize, `Invalid parameter Payload: ${size} bytes, at most ${MAX_PAYLOAD_BYTES}`);
  }
  if (size === 0 && assumptions.emptyPayload === 'refuse') throw badParameter('Missing required parameter Payload');
  return {
    simKey: Sim,
    devicePort,
    payload: Payload,
    payloadType: PayloadType,
    ...(CallbackUrl !== undefined && { callback: { url: CallbackUrl, method: CallbackMethod } }),
  };
}

/** @param written status and code of an assumption, `400/20001` */
export const refusal = (written: string, message: string): VendorError =>
  new VendorError(Number(written.slice(0, 3)), Number(written.slice(4)), message);

/** Base64 with padding (RFC 4648 §4). */
const isBase64 = (text: string) => text.length % 4 === 0 && /^[A-Za-z0-9+/]*={0,2}$/.test(text);

function payloadSize(payload: string, type: (typeof PAYLOAD_TYPES)[number], sizeRule: Assumptions['sizeRule']): number {
  return Buffer.byteLength(payload, type === 'binary' && sizeRule === 'decoded' ? 'base64' : 'utf8');
}
