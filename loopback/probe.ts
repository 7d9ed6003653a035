import { messageOf, SupersimError } from '../shared/errors.js';
import type { Loopback } from './loopback.js';

const PROBE_TIMEOUT_MS = 5000;

/**
 * Sends the loopback a request, which no fault of the API hits, at the URL that users see, so that *ready* is true.
 *
 * @throws SupersimError `probe-failed`
 */
export async function probeApi({
  url,
  accountSid,
  authToken,
}: Pick<Loopback, 'url' | 'accountSid' | 'authToken'>): Promise<void> {
  const authorization = `Basic ${Buffer.from(`${accountSid}:${authToken}`).toString('base64')}`;
  try {
    const response = await fetch(`${url}/loopback/faults`, {
      headers: { authorization },
      signal: AbortSignal.timeout(PROBE_TIMEOUT_MS),
    });
    await response.body?.cancel();
    if (!response.ok) throw new Error(`HTTP ${response.status}`);
  } catch (error) {
    throw new SupersimError('probe-failed', `the loopback does not respond at ${url}: ${messageOf(error)}`, {
      cause: error,
      remedy: 'Check that no firewall or proxy keeps this machine from its own address.',
    });
  }
}
