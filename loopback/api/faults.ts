import { IncomingMessage } from 'node:http';
import { setTimeout as delay } from 'node:timers/promises';
import type { MiddlewareHandler } from 'hono';
import * as z from 'zod';
import { checkInput } from '../../shared/check-input.js';
import { durationSchema, milliseconds } from '../../shared/duration.js';
import { SupersimError } from '../../shared/errors.js';
import { includes } from '../network/faults/apply.js';
import { numberedRandom } from '../network/faults/random.js';
import { formatValue, hitsSchema, parseValue, strictShape } from '../network/faults/settings.js';
import { VENDOR_CODES, VendorError } from '../vendor-error.js';

const MAX_DELAY = '10min';
const SALT = 0x13198a2e;

const duration = durationSchema('0ms', MAX_DELAY).default('0ms');

const schema = strictShape({
  atOnce: z
    .int()
    .min(0)
    .max(100_000)
    .default(0)
    .describe('Maximum of concurrent requests, as of an account; further ones get 429/20429. 0: no limit.'),
  busy: hitsSchema.default(0).describe('The request gets 429/20429, and is not processed.'),
  unavailable: hitsSchema.default(0).describe('The request gets 503/20503, and is not processed.'),
  answerLoss: hitsSchema.default(0).describe('The request is processed, and the connection breaks before its answer.'),
  delay: duration.describe('Delay of every request.'),
  jitter: duration.describe('Random additional delay of up to this much per request.'),
});

/** Faults of the API. Hits are probabilities, or lists of request numbers, from 1. */
export type ApiFaultsInput = z.input<typeof schema>;
export type ApiFaults = z.output<typeof schema>;

/**
 * Fills in the defaults: no faults.
 *
 * @throws SupersimError `bad-input` for an unknown name or a value that cannot be used
 */
export function resolveApiFaults(input: unknown): ApiFaults {
  return checkInput(schema, input, 'API faults', remedy());
}

/**
 * Parses faults of the form `atOnce=20,busy=0.05,answerLoss=#2+5`: `#` begins a list of request numbers.
 *
 * @throws SupersimError `bad-input` for another form, and as {@link resolveApiFaults}
 */
export function parseApiFaults(written: string): ApiFaults {
  const settings = new Map<string, unknown>();
  for (const part of written.split(',')) {
    const [, name, value] = /^\s*(\w+)=(\S+)\s*$/.exec(part) ?? [];
    if (name === undefined || value === undefined) throw apiFaultsError(`${JSON.stringify(part)} is not NAME=VALUE`);
    if (settings.has(name)) throw apiFaultsError(`${name} is given twice`);
    settings.set(name, parseValue(value));
  }
  return resolveApiFaults(Object.fromEntries(settings));
}

/** Formats faults as {@link parseApiFaults} reads them, without the defaults; `none` when there are no others. */
export function formatApiFaults(faults: ApiFaults): string {
  const usual: Readonly<Record<string, unknown>> = resolveApiFaults({});
  const unusual = Object.entries(faults).filter(([name, value]) => value !== usual[name]);
  return unusual.map(([name, value]) => `${name}=${formatValue(value)}`).join(',') || 'none';
}

/** Returns a line for each fault, with its values and its default. */
export function apiFaultsHelp(): string {
  return Object.entries(schema.shape)
    .map(([name, setting]) => {
      const inner: z.core.$ZodType = setting.unwrap();
      const values = inner === hitsSchema ? 'PROBABILITY|#N+N' : name === 'atOnce' ? 'NUMBER' : 'DURATION';
      return `  ${name}=${values} (${setting.parse(undefined)})\n    ${setting.description}`;
    })
    .join('\n');
}

function apiFaultsError(message: string): SupersimError {
  return new SupersimError('bad-input', `API faults: ${message}`, { remedy: remedy() });
}

const remedy = () => `Correct it; the faults are ${Object.keys(schema.shape).join(', ')}.`;
/** A fault hit a request to the API. */
export interface ApiFaultEvent {
  readonly type: 'api-fault';
  readonly fault: 'busy' | 'unavailable' | 'answerLoss';
  /** The request's number since the faults were set, from 1. */
  readonly request: number;
  readonly method: string;
  readonly path: string;
}

/** Other faults of the API were set, given here as the command line writes them. */
export interface ApiFaultsEvent {
  readonly type: 'api-faults';
  readonly faults: string;
  readonly seed: number;
}

export interface ApiFaultControl {
  /** Applies the faults to the routes of the vendor's API. */
  readonly middleware: MiddlewareHandler;
  /** Sets the faults of further requests, and counts these from 1 again. */
  set(faults: ApiFaults, seed: number): void;
  status(): { readonly faults: ApiFaults; readonly seed: number; readonly requests: number };
}

export interface ApiFaultOptions {
  readonly faults: ApiFaults;
  readonly seed: number;
  readonly emit: (event: ApiFaultEvent | ApiFaultsEvent) => void;
}

const REFUSALS = {
  busy: new VendorError(429, VENDOR_CODES.tooManyRequests, 'Too Many Requests'),
  unavailable: new VendorError(503, VENDOR_CODES.unavailable, 'Service Unavailable'),
} as const;

export function createApiFaults({ emit, ...initial }: ApiFaultOptions): ApiFaultControl {
  let state = { ...initial, requests: 0 };
  let inFlight = 0;

  /** Draws the faults of the next request: the same for the same seed, faults and number. */
  function draw() {
    const { faults, seed } = state;
    const request = state.requests + 1;
    state = { ...state, requests: request };
    const random = numberedRandom(seed, SALT, request);
    const hit = {
      busy: includes(faults.busy, request, random()),
      unavailable: includes(faults.unavailable, request, random()),
      answerLoss: includes(faults.answerLoss, request, random()),
    };
    const delayMs = milliseconds(faults.delay) + random() * milliseconds(faults.jitter);
    const tooMany = faults.atOnce > 0 && inFlight >= faults.atOnce;
    const fault = hit.busy || tooMany ? 'busy' : hit.unavailable ? 'unavailable' : hit.answerLoss ? 'answerLoss' : null;
    return { request, fault, delayMs } as const;
  }

  return {
    async middleware(c, next) {
      const { request, fault, delayMs } = draw();
      if (fault !== null) emit({ type: 'api-fault', fault, request, method: c.req.method, path: c.req.path });
      if (fault === 'busy') throw REFUSALS.busy;
      inFlight++;
      try {
        // The load as the vendor reports it (docs/vendor-facts.md, "API: rate limit").
        c.header('Twilio-Concurrent-Requests', `${inFlight}`);
        if (delayMs > 0) await delay(delayMs);
        if (fault === 'unavailable') throw REFUSALS.unavailable;
        await next();
        if (fault === 'answerLoss') breakConnection(c.env);
      } finally {
        inFlight--;
      }
    },
    set(faults, seed) {
      state = { faults, seed, requests: 0 };
      emit({ type: 'api-faults', faults: formatApiFaults(faults), seed });
    },
    status: () => ({ ...state }),
  };
}

/** The bindings that Hono's server for Node passes to handlers. */
const bindings = z.object({ incoming: z.instanceof(IncomingMessage) });

const breakConnection = (env: unknown) => void bindings.safeParse(env).data?.incoming.socket.destroy();
