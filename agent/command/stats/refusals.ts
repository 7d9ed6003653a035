/** How many sources are remembered for each cause. */
const REMEMBERED = 8;

/** Datagrams of one source that were not let in, or made no sense. */
export interface Refusal {
  /** `source`, `empty`, `oversize` or `malformed`. */
  readonly cause: string;
  readonly address: string;
  /** How often, since it is remembered. */
  readonly times: number;
  /** The last time, in Unix milliseconds. */
  readonly at: number;
  /** Of the last datagram. */
  readonly bytes: number;
}

/** Remembers the last few sources that were refused, by cause, for somebody at the device who looks for a reason. */
export function createRefusals(now: () => number = Date.now) {
  const causes = new Map<string, Map<string, Refusal>>();
  return {
    remember(cause: string, address: string, bytes: number): void {
      const sources = causes.get(cause) ?? new Map<string, Refusal>();
      causes.set(cause, sources);
      const times = (sources.get(address)?.times ?? 0) + 1;
      // A map keeps the order in which its keys came: the oldest is its first.
      sources.delete(address);
      sources.set(address, { cause, address, times, at: now(), bytes });
      const [oldest] = sources.keys();
      if (sources.size > REMEMBERED && oldest !== undefined) sources.delete(oldest);
    },
    /** The latest first. */
    last: (): Refusal[] => [...causes.values()].flatMap((sources) => [...sources.values()]).sort((a, b) => b.at - a.at),
  };
}
