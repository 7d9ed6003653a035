import { request as httpRequest } from 'node:http';
import { request as httpsRequest } from 'node:https';
import { messageOf, systemCodeOf } from '../../shared/errors.js';
import type { WebhookMethod } from '../account/registry.js';
import { VENDOR_CODES } from '../vendor-error.js';
import type { WebhookLimits } from './overrides.js';

/** Maximum bytes of a response that are read and discarded before the connection is closed. */
export const MAX_WEBHOOK_RESPONSE_BYTES = 65_536;

/** The vendor's codes for a webhook that could not be delivered (docs/vendor-facts.md, "Webhooks: delivery"). */
const FETCH_CODES = { failed: 11200, connection: 11205, protocol: 11206, hostName: 11210, certificate: 11237 } as const;

/** Statuses after which a webhook is retried (docs/vendor-facts.md, "Webhooks: delivery"). */
const isRetried = (status: number) => status === 408 || status === 423 || status >= 500;

export interface Attempt {
  readonly url: string;
  readonly method: WebhookMethod;
  readonly headers: Record<string, string>;
  readonly body: string | undefined;
  /** Time limits; `totalMs` is the time that is left for all attempts. */
  readonly limits: Omit<WebhookLimits, 'retries'>;
  readonly signal: AbortSignal;
}

export type AttemptResult =
  | { readonly ok: true; readonly status: number }
  /** `retry`: whether a further attempt is allowed. */
  | { readonly ok: false; readonly errorCode: number; readonly reason: string; readonly retry: boolean };

/** Makes one request and reads its response to the end. Redirects are not followed. Never rejects. */
export async function attemptWebhook(options: Attempt): Promise<AttemptResult> {
  try {
    return await exchange(options);
  } catch (error) {
    // Node throws for some URLs that parse, such as one with a user name of `%zz`.
    return failureOf(error);
  }
}

function exchange({ url, method, headers, body, limits, signal }: Attempt): Promise<AttemptResult> {
  return new Promise((resolve) => {
    const start = url.startsWith('https:') ? httpsRequest : httpRequest;
    // A new connection for each attempt, so that the time to connect is measured.
    const request = start(url, { method, headers, agent: false, signal });
    const onTimeout = (what: string, retry: boolean) => () =>
      finish({ ok: false, errorCode: FETCH_CODES.connection, reason: `${what} in time`, retry });
    const connecting = setTimeout(onTimeout('no connection', true), limits.connectMs);
    const total = setTimeout(onTimeout('no complete response', false), limits.totalMs);
    let reading: NodeJS.Timeout | undefined;

    function finish(result: AttemptResult): void {
      clearTimeout(connecting);
      clearTimeout(total);
      clearTimeout(reading);
      resolve(result);
      request.destroy();
    }

    request.once('socket', (socket) => {
      socket.once(url.startsWith('https:') ? 'secureConnect' : 'connect', () => {
        clearTimeout(connecting);
        reading = setTimeout(onTimeout('no response', true), limits.readMs);
      });
    });
    request.once('response', (response) => {
      const status = response.statusCode ?? 0;
      let bytes = 0;
      response.on('data', (chunk: Buffer) => {
        reading?.refresh();
        bytes += chunk.length;
        if (bytes > MAX_WEBHOOK_RESPONSE_BYTES) finish(resultOf(status));
      });
      response.once('end', () => finish(resultOf(status)));
      response.once('error', (error) => finish(failureOf(error)));
    });
    request.on('error', (error) => finish(failureOf(error)));
    request.end(body);
  });
}

function resultOf(status: number): AttemptResult {
  if (status >= 200 && status < 300) return { ok: true, status };
  const reason = `HTTP ${status}`;
  return { ok: false, errorCode: VENDOR_CODES.callbackFailed, reason, retry: isRetried(status) };
}

function failureOf(error: unknown): AttemptResult {
  return { ok: false, errorCode: fetchCode(systemCodeOf(error) ?? ''), reason: messageOf(error), retry: true };
}

function fetchCode(code: string): number {
  if (code === 'ENOTFOUND' || code === 'EAI_AGAIN') return FETCH_CODES.hostName;
  if (code.startsWith('HPE_')) return FETCH_CODES.protocol;
  if (/CERT|SELF_SIGNED|ALTNAME|UNABLE_TO_/.test(code)) return FETCH_CODES.certificate;
  if (/^E[A-Z]+$/.test(code)) return FETCH_CODES.connection;
  return FETCH_CODES.failed;
}
