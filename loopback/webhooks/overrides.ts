/** Time-outs and retries of a webhook (docs/vendor-facts.md, "Webhooks: delivery"). */
export interface WebhookLimits {
  /** Time to connect, per attempt. */
  readonly connectMs: number;
  /** Time without a byte of the response, per attempt. */
  readonly readMs: number;
  /** Time for all attempts together. */
  readonly totalMs: number;
  /** Attempts after the first. */
  readonly retries: number;
}

/** Fragment key, range, default. */
const OVERRIDES = {
  connectMs: { key: 'ct', least: 100, most: 10_000, default: 5000 },
  readMs: { key: 'rt', least: 100, most: 15_000, default: 15_000 },
  totalMs: { key: 'tt', least: 100, most: 15_000, default: 15_000 },
  retries: { key: 'rc', least: 0, most: 5, default: 1 },
} as const satisfies Record<keyof WebhookLimits, unknown>;

/** Returns the limits of a webhook: the defaults, or the values in its URL's fragment (`#ct=2000&rc=2`) if in range. */
export function parseOverrides(url: string): WebhookLimits {
  const fragment = new URLSearchParams(new URL(url).hash.slice(1));
  const limit = (name: keyof WebhookLimits) => {
    const { key, least, most, default: defaultValue } = OVERRIDES[name];
    const written = fragment.get(key) ?? '';
    const value = /^\d{1,5}$/.test(written) ? Number(written) : defaultValue;
    return value >= least && value <= most ? value : defaultValue;
  };
  return {
    connectMs: limit('connectMs'),
    readMs: limit('readMs'),
    totalMs: limit('totalMs'),
    retries: limit('retries'),
  };
}
