import * as z from 'zod';
import { readBody } from '../../shared/async/read-body.js';
import type { SignedRequest } from './signature.js';

/** Most bytes of a callback's body: a payload of 1300 bytes in Base64, each character escaped, and the parameters. */
export const MAX_CALLBACK_BYTES = 65_536;

/** A callback as it arrived, with its parameters from query, form or JSON. */
export interface IncomingCallback extends SignedRequest {
  readonly params: URLSearchParams;
}

/**
 * Reads a request.
 *
 * @param publicUrl the URL that the vendor calls, where a proxy changes it
 * @returns undefined when its body is longer than {@link MAX_CALLBACK_BYTES} or incomplete
 */
export async function readCallbackRequest(
  request: Request,
  publicUrl: string | undefined,
): Promise<IncomingCallback | undefined> {
  const bytes = await readBody(request.body, MAX_CALLBACK_BYTES).catch(() => undefined);
  if (bytes === undefined) return undefined;
  const body = bytes.toString();
  const { method } = request;
  const url = urlOf(request.url, publicUrl);
  if (method === 'GET') return { method, url, body, form: undefined, params: new URL(url).searchParams };
  const type = request.headers.get('content-type') ?? '';
  if (/^application\/json\b/i.test(type)) return { method, url, body, form: undefined, params: jsonParams(body) };
  const form = new URLSearchParams(body);
  return { method, url, body, form, params: form };
}

/** Returns the URL that was signed. A URL object is not used, as it rewrites some characters of a query. */
function urlOf(requested: string, publicUrl: string | undefined): string {
  const [url = ''] = requested.split('#', 1);
  if (publicUrl === undefined) return url;
  const [, path = '', query = ''] = /^[^:]+:\/\/[^/?]*([^?]*)(\?.*)?$/.exec(url) ?? [];
  const [bare = ''] = publicUrl.split(/[?#]/, 1);
  const hasPath = /^[^:]+:\/\/[^/]+\/./.test(bare);
  return `${hasPath ? bare : bare.replace(/\/$/, '') + path}${query}`;
}

const jsonSchema = z.record(z.string(), z.unknown());

function jsonParams(body: string): URLSearchParams {
  const params = new URLSearchParams();
  try {
    for (const [name, value] of Object.entries(jsonSchema.parse(JSON.parse(body)))) {
      if (typeof value === 'string' || typeof value === 'number') params.set(name, String(value));
    }
  } catch {
    // A body that is not a JSON object has no parameters.
  }
  return params;
}
