import type { Context } from 'hono';
import { readBody } from '../../shared/async/read-body.js';
import { VENDOR_CODES, VendorError } from '../vendor-error.js';

/** Maximum size of a request's body: ample for a payload and a URL, percent-encoded. */
export const MAX_REQUEST_BYTES = 65_536;

/** @throws VendorError 413 beyond {@link MAX_REQUEST_BYTES} */
export async function requestBody(c: Context): Promise<Buffer> {
  // A body of known length is read at once, which is far cheaper.
  if (Number(c.req.header('content-length') ?? Number.NaN) <= MAX_REQUEST_BYTES) {
    return Buffer.from(await c.req.arrayBuffer());
  }
  const body = await readBody(c.req.raw.body, MAX_REQUEST_BYTES);
  if (body !== undefined) return body;
  throw new VendorError(413, VENDOR_CODES.badParameter, `The request's body is over ${MAX_REQUEST_BYTES} bytes`);
}
