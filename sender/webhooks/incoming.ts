import * as z from 'zod';
import { readBody } from '../../shared/read-body.js';
import type { SignedRequest } from './signature.js';

/** Most bytes of a callback's body: a payload of 1300 bytes in Base64, each character escaped, and the parameters. */
export const MAX_BODY_BYTES = 65_536;

/** A callback as it arrived, with its parameters wherever they are. */
export interface Incoming extends SignedRequest {
  readonly params: URLSearchParams;
}

/**
 * Reads a request.
 *
 * @param publicUrl how the vendor calls it, where a proxy changes that
 * @returns undefined when its body is longer than {@link MAX_BODY_BYTES} or breaks off
 */
export async function readIncoming(request: Request, publicUrl: string | undefined): Promise<Incoming | undefined> {
  const bytes = await readBody(request.body, MAX_BODY_BYTES).catch(() => undefined);
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

/** Not by way of a URL object: that writes some characters of a query in another way than they were signed. */
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
    // What cannot be read has no parameters.
  }
  return params;
}
