import * as z from 'zod';
import { checkInput } from '../../shared/check-input.js';
import { forgetOldest } from '../base/evict-oldest.js';
import { type Callback, parseCallback } from './callback.js';
import { type Incoming, MAX_BODY_BYTES, readIncoming } from './incoming.js';
import { isSignedByKore, isSignedByTwilio } from './signature.js';

/** Most keys of callbacks that are remembered, so that a repeat of one is dropped. */
export const MAX_REMEMBERED = 100_000;
/** Most callbacks that wait until `onCallback` is done with those before them; more are refused, and come again. */
export const MAX_WAITING = 1000;

/** What became of the requests, since the start. */
export interface WebhookCounters {
  accepted: number;
  /** Had come before. */
  repeats: number;
  unsigned: number;
  wrongSignature: number;
  malformed: number;
  /** Came while {@link MAX_WAITING} were waiting. */
  busy: number;
  /** `onCallback` threw. */
  failed: number;
}

export interface WebhookReceiverOptions {
  /** The secret of KORE's webhooks, from which all have come since November 2024 (fact sheet §4). */
  readonly koreSecret?: string | undefined;
  /** Twilio's auth token. */
  readonly twilioAuthToken?: string | undefined;
  /**
   * How the vendor calls this receiver, where a proxy changes it: scheme and host, and the path too if it has one. The
   * query is the request's.
   */
  readonly publicUrl?: string | undefined;
  /** Takes requests without a signature: for a network where nobody else can send any. Default false. */
  readonly allowUnsigned?: boolean | undefined;
  /** Called for each callback once, one after the other, after the vendor has its answer. */
  readonly onCallback: (callback: Callback) => void | Promise<void>;
  /** Told what `onCallback` threw. */
  readonly onError?: ((error: unknown, callback: Callback) => void) | undefined;
}

/** What a serverless platform keeps running for after the response. */
export interface ReceiveContext {
  readonly waitUntil?: (work: Promise<void>) => void;
}

export interface WebhookReceiver {
  /** Answers a callback, within bounds whatever it holds. Never rejects. */
  receive(request: Request, context?: ReceiveContext): Promise<Response>;
  /** Resolves when `onCallback` is done with all that came until now. */
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
    'needs koreSecret or twilioAuthToken, or everything would be refused',
  );

type Options = z.output<typeof optionsSchema>;

/**
 * A receiver for the vendors' webhooks: status callbacks and from_sim commands, by form, query or signed JSON. It
 * refuses what is not signed, and drops what comes again.
 *
 * @throws SupersimError `bad-input`
 */
export function createWebhookReceiver(options: WebhookReceiverOptions): WebhookReceiver {
  const checked = checkInput(optionsSchema, options, 'the webhook receiver’s options');
  const counters: WebhookCounters = {
    accepted: 0,
    repeats: 0,
    unsigned: 0,
    wrongSignature: 0,
    malformed: 0,
    busy: 0,
    failed: 0,
  };
  const known = new Set<string>();
  let waiting = 0;
  let last: Promise<void> = Promise.resolve();

  function work(callback: Callback): Promise<void> {
    waiting++;
    last = last.then(async () => {
      // The vendor's answer goes first.
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
    if (request.method !== 'POST' && request.method !== 'GET') return refusal(405, 'callbacks come by POST or GET');
    const incoming = await readIncoming(request, checked.publicUrl);
    if (incoming === undefined) return count('malformed', 413, `a callback has at most ${MAX_BODY_BYTES} bytes`);
    const problem = findProblem(request.headers, incoming, checked);
    if (problem !== undefined) return count(problem.counter, problem.status, problem.reason);
    const callback = parseCallback(incoming.params);
    if (callback === undefined) return count('malformed', 400, 'this is no callback of an IP Command');
    const keys = keysOf(request.headers, callback);
    if (keys.some((key) => known.has(key))) {
      counters.repeats++;
      return taken();
    }
    if (waiting >= MAX_WAITING) return count('busy', 503, 'too many callbacks are waiting');
    remember(known, keys);
    counters.accepted++;
    const done = work(callback);
    waitUntil?.(done);
    return taken();
  }

  function count(counter: keyof WebhookCounters, status: number, reason: string): Response {
    counters[counter]++;
    return refusal(status, reason);
  }

  return { counters, receive, settled: () => last };
}

const taken = () => new Response(null, { status: 204 });

const refusal = (status: number, reason: string) =>
  new Response(`${reason}\n`, { status, headers: { 'content-type': 'text/plain; charset=utf-8' } });

interface Problem {
  readonly counter: 'unsigned' | 'wrongSignature';
  readonly status: number;
  readonly reason: string;
}

function findProblem(headers: Headers, incoming: Incoming, options: Options): Problem | undefined {
  const { koreSecret, twilioAuthToken, allowUnsigned } = options;
  // The vendor sends an empty one where it has no secret.
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
  reason: 'the signature is wrong: compare the secret, and the public URL with the one that the vendor has',
};
const UNSIGNED: Problem = {
  counter: 'unsigned',
  status: 403,
  reason: 'there is no signature that can be checked: create a webhook secret at KORE, and give it to this receiver',
};
const UNCOVERED: Problem = {
  counter: 'unsigned',
  status: 405,
  reason: 'kore-signature does not cover what a GET says: set the method of the callback URL to POST',
};

/** What a repeat has in common with the first; the token is not signed, so that it alone would not do. */
function keysOf(headers: Headers, { sid, status }: Callback): string[] {
  const token = headers.get('kore-idempotency-token') || undefined;
  return [
    ...(token === undefined ? [] : [`token ${token.slice(0, 100)}`]),
    ...(sid === undefined ? [] : [`${sid} ${status}`]),
  ];
}

function remember(known: Set<string>, keys: readonly string[]): void {
  for (const key of keys) known.add(key);
  forgetOldest(known, MAX_REMEMBERED);
}
