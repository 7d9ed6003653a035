import * as z from 'zod';
import { checkInput } from '../../shared/check-input.js';
import { evictOldest } from '../base/evict-oldest.js';
import type { OpenedDatagram } from '../security/events.js';
import type { SenderSecurity } from '../security/security.js';
import { type Callback, parseCallback } from './callback.js';
import { type IncomingCallback, MAX_CALLBACK_BYTES, readCallbackRequest } from './incoming.js';
import { isSignedByKore, isSignedByTwilio } from './signature.js';

/** Most keys of callbacks that are remembered, to drop repeats. */
export const MAX_REMEMBERED_KEYS = 100_000;
/** Most callbacks that wait for `onCallback`; more are refused, and the vendor repeats them. */
export const MAX_WAITING = 1000;

/** Requests since the start, by result. */
export interface WebhookCounters {
  accepted: number;
  /** Received before. */
  repeats: number;
  /** Events that are protected, whose callbacks are new, and that were reported before. */
  replayed: number;
  unsigned: number;
  wrongSignature: number;
  malformed: number;
  /** Refused while {@link MAX_WAITING} were waiting. */
  busy: number;
  /** `onCallback` threw, or the keys could not be used; such a callback is refused, and the vendor repeats it. */
  failed: number;
}

export interface WebhookReceiverOptions {
  /** The secret of KORE's webhooks, which sends all since November 2024 (docs/vendor-facts.md, "KORE: differences"). */
  readonly koreSecret?: string | undefined;
  /** Twilio's auth token. */
  readonly twilioAuthToken?: string | undefined;
  /**
   * The URL that the vendor calls, where a proxy changes it: scheme and host, and the path too if it has one. The query
   * is the request's.
   */
  readonly publicUrl?: string | undefined;
  /** Accepts requests without a signature: for a network where only the vendor can send them. Default false. */
  readonly allowUnsigned?: boolean | undefined;
  /**
   * The keys: with them each from_sim callback has `opened`, and an event that is protected is reported once, whoever
   * repeats it, and by all processes of this installation together.
   */
  readonly security?: Pick<SenderSecurity, 'openDatagram'> | undefined;
  /** Called once for each callback, one after the other, after the vendor has been answered. */
  readonly onCallback: (callback: Callback) => void | Promise<void>;
  /** Called with what `onCallback` threw, and why the keys could not be used. */
  readonly onError?: ((error: unknown, callback: Callback) => void) | undefined;
}

/** The context that a serverless platform passes with a request, to keep running after the response. */
export interface ReceiveContext {
  readonly waitUntil?: (work: Promise<void>) => void;
}

export interface WebhookReceiver {
  /** Answers a callback. Never rejects. */
  receive(request: Request, context?: ReceiveContext): Promise<Response>;
  /** Resolves when `onCallback` has finished with all callbacks received so far. */
  settled(): Promise<void>;
  readonly counters: Readonly<WebhookCounters>;
}

const optionsSchema = z
  .object({
    koreSecret: z.string().min(1).optional(),
    twilioAuthToken: z.string().min(1).optional(),
    publicUrl: z.url({ protocol: /^https?$/ }).optional(),
    allowUnsigned: z.boolean().default(false),
  })
  .refine(
    ({ koreSecret, twilioAuthToken, allowUnsigned }) => allowUnsigned || (koreSecret ?? twilioAuthToken) !== undefined,
    'must have koreSecret or twilioAuthToken, or every request would be refused',
  );

type Options = z.output<typeof optionsSchema>;

/**
 * Creates a receiver for the vendors' webhooks: status callbacks and from_sim commands, by form, query or signed JSON.
 * It refuses requests without a valid signature, and drops repeats.
 *
 * @throws SupersimError `bad-input`
 */
export function createWebhookReceiver(options: WebhookReceiverOptions): WebhookReceiver {
  const checked = checkInput(optionsSchema, options, 'the webhook receiver’s options');
  const counters: WebhookCounters = {
    accepted: 0,
    repeats: 0,
    replayed: 0,
    unsigned: 0,
    wrongSignature: 0,
    malformed: 0,
    busy: 0,
    failed: 0,
  };
  const known = new Set<string>();
  let waiting = 0;
  let last: Promise<void> = Promise.resolve();

  function enqueue(callback: Callback): Promise<void> {
    waiting++;
    last = last.then(async () => {
      // The vendor's answer is sent first.
      await new Promise((resolve) => setTimeout(resolve));
      try {
        await options.onCallback(callback);
      } catch (error) {
        counters.failed++;
        options.onError?.(error, callback);
      } finally {
        waiting--;
      }
    });
    return last;
  }

  async function receive(request: Request, { waitUntil }: ReceiveContext = {}): Promise<Response> {
    if (request.method !== 'POST' && request.method !== 'GET') return refusal(405, 'callbacks are sent by POST or GET');
    const incoming = await readCallbackRequest(request, checked.publicUrl);
    if (incoming === undefined) return count('malformed', 413, `a callback has at most ${MAX_CALLBACK_BYTES} bytes`);
    const problem = findProblem(request.headers, incoming, checked);
    if (problem !== undefined) return count(problem.counter, problem.status, problem.reason);
    const callback = parseCallback(incoming.params);
    if (callback === undefined) return count('malformed', 400, 'this is not a callback of an IP Command');
    const keys = keysOf(request.headers, callback);
    if (keys.some((key) => known.has(key))) {
      counters.repeats++;
      return accepted();
    }
    if (waiting >= MAX_WAITING) return count('busy', 503, 'too many callbacks are waiting');
    const opened = open(callback);
    if (opened === 'failed') return count('failed', 503, 'the keys cannot be used now');
    remember(known, keys);
    if (opened?.kind === 'repeat') {
      counters.replayed++;
      return accepted();
    }
    counters.accepted++;
    const done = enqueue(opened === undefined ? callback : { ...callback, opened });
    waitUntil?.(done);
    return accepted();
  }

  /** Before the vendor is answered: what cannot be recorded as reported may come again. */
  function open(callback: Callback): OpenedDatagram | 'failed' | undefined {
    const { direction, payload, simSid: sid, simUniqueName: uniqueName, simIccid: iccid } = callback;
    if (direction === 'to_sim' || payload === undefined) return undefined;
    try {
      return options.security?.openDatagram({ sid, uniqueName, iccid }, payload, 'record');
    } catch (error) {
      options.onError?.(error, callback);
      return 'failed';
    }
  }

  function count(counter: keyof WebhookCounters, status: number, reason: string): Response {
    counters[counter]++;
    return refusal(status, reason);
  }

  return { counters, receive, settled: () => last };
}

const accepted = () => new Response(null, { status: 204 });

const refusal = (status: number, reason: string) =>
  new Response(`${reason}\n`, { status, headers: { 'content-type': 'text/plain; charset=utf-8' } });

interface Problem {
  readonly counter: 'unsigned' | 'wrongSignature';
  readonly status: number;
  readonly reason: string;
}

function findProblem(headers: Headers, incoming: IncomingCallback, options: Options): Problem | undefined {
  const { koreSecret, twilioAuthToken, allowUnsigned } = options;
  // The vendor sends an empty header where it has no secret.
  const kore = headers.get('kore-signature') || undefined;
  const twilio = headers.get('x-twilio-signature') || undefined;
  if (koreSecret !== undefined && kore !== undefined) {
    if (incoming.method === 'GET') return UNCOVERED;
    return isSignedByKore(koreSecret, kore, incoming) ? undefined : WRONG;
  }
  if (twilioAuthToken !== undefined && twilio !== undefined) {
    return isSignedByTwilio(twilioAuthToken, twilio, incoming) ? undefined : WRONG;
  }
  return allowUnsigned ? undefined : UNSIGNED;
}

const WRONG: Problem = {
  counter: 'wrongSignature',
  status: 403,
  reason: 'wrong signature: compare the secret, and the public URL with the one that the vendor has',
};
const UNSIGNED: Problem = {
  counter: 'unsigned',
  status: 403,
  reason: 'no signature that can be checked: create a webhook secret at KORE, and configure it here',
};
const UNCOVERED: Problem = {
  counter: 'unsigned',
  status: 405,
  reason: 'kore-signature does not cover the parameters of a GET: set the method of the callback URL to POST',
};

/** Returns the keys that a repeat shares with the first; the token alone is not enough, as it is not signed. */
function keysOf(headers: Headers, { sid, status }: Callback): string[] {
  const token = headers.get('kore-idempotency-token') || undefined;
  return [
    ...(token === undefined ? [] : [`token ${token.slice(0, 100)}`]),
    ...(sid === undefined ? [] : [`${sid} ${status}`]),
  ];
}

function remember(known: Set<string>, keys: readonly string[]): void {
  for (const key of keys) known.add(key);
  evictOldest(known, MAX_REMEMBERED_KEYS);
}
