import { randomBytes } from 'node:crypto';
import { raceTimeout, withTimeout } from '../../shared/async/with-timeout.js';
import { messageOf, SupersimError } from '../../shared/errors.js';
import type { Callback } from '../webhooks/callback.js';
import { koreSignature, twilioSignature, type WebhookSecrets } from '../webhooks/sign.js';

const PROBE_TIMEOUT_MS = 15_000;
/** How long after its answer the webhook may still arrive: another server may have answered. */
const ARRIVAL_MS = 2000;

/** A webhook that this process sends to itself, and recognises by its SID. */
export interface WebhookProbe {
  /** Tells whether a callback is the probe. */
  matches(callback: Callback): boolean;
  /**
   * Sends the probe, and waits until it has arrived.
   *
   * @throws SupersimError `probe-failed`
   */
  send(url: string, signal: AbortSignal): Promise<void>;
}

export function createWebhookProbe(secrets: WebhookSecrets): WebhookProbe {
  const sid = `HG${randomBytes(16).toString('hex')}`;
  let arrive = () => {};
  const arrived = new Promise<void>((resolve) => {
    arrive = resolve;
  });

  return {
    matches(callback) {
      if (callback.sid !== sid) return false;
      arrive();
      return true;
    },
    async send(url, signal) {
      const form = new URLSearchParams({ Sid: sid, Direction: 'to_sim', Status: 'queued' });
      const target = new URL(url).href;
      try {
        await withTimeout(
          PROBE_TIMEOUT_MS,
          async (limited) => {
            const headers = signed(secrets, target, form);
            const answer = await fetch(target, {
              method: 'POST',
              headers,
              body: form,
              redirect: 'manual',
              signal: limited,
            });
            const text = (await answer.text()).trim().slice(0, 200);
            if (!answer.ok) throw new Error(`HTTP ${answer.status}${text === '' ? '' : `: ${text}`}`);
          },
          { signal },
        );
        await raceTimeout(ARRIVAL_MS, arrived, { signal });
      } catch (error) {
        const cause = error instanceof Error && error.cause !== undefined ? error.cause : error;
        throw new SupersimError(
          'probe-failed',
          `a webhook sent to ${target} did not arrive here: ${messageOf(cause)}`,
          {
            cause: error,
            remedy: 'Check that this URL leads here: the name, the proxy or tunnel before it, --port and --public-url.',
          },
        );
      }
    },
  };
}

function signed({ koreSecret, twilioAuthToken }: WebhookSecrets, url: string, form: URLSearchParams) {
  const [bare = ''] = url.split('?', 1);
  if (koreSecret !== undefined) return { 'kore-signature': koreSignature(koreSecret, 'POST', bare, form.toString()) };
  return { 'x-twilio-signature': twilioSignature(twilioAuthToken ?? '', url, form) };
}
