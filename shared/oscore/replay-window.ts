/** Most numbers that a device's window of an operator keeps. */
export const WINDOW_SIZE = 64;

/** Most numbers that an operator's window of a device's events keeps: webhooks are repeated for long, and come in any order. */
export const EVENT_WINDOW_SIZE = 1024;

/**
 * The sequence numbers of the requests that were accepted from one peer (RFC 8613 §7.4), as plain data that can be stored.
 *
 * Numbers follow the peer's clock and have wide gaps, so the window keeps the highest accepted numbers themselves, as many as
 * its size, instead of a bit per number. Every accepted number is kept or lower than `floor`, which makes these fresh:
 * - While the window is not full, no number has been dropped. Any number from `floor` that is not kept is fresh, also one
 *   below the lowest kept number, as requests can overtake each other. `floor` is where the window began: 0 for a new key;
 *   after a loss, the number of the request that Echo showed to be fresh.
 * - When the window is full, `floor` is the lowest kept number, and any number above it that is not kept is fresh. The
 *   lowest number is dropped for a higher one; dropping the oldest instead would make a dropped number fresh again.
 */
export interface ReplayWindow {
  /** Lower numbers are not fresh. */
  readonly floor: number;
  /** In ascending order. */
  readonly numbers: readonly number[];
}

/** The window of a key that has never been used. */
export const NEW_WINDOW: ReplayWindow = { floor: 0, numbers: [] };

/** Returns a window in place of a lost one, with a request that Echo showed to be fresh (RFC 8613 Appendix B.1.2). */
export const windowFrom = (number: number): ReplayWindow => ({ floor: number, numbers: [number] });

/**
 * Tells whether a request with this number may be accepted. No other request may be checked before {@link accept} was
 * called for this one (§7.4).
 */
export const isFresh = ({ floor, numbers }: ReplayWindow, number: number): boolean =>
  number >= floor && !numbers.includes(number);

/** Returns the window with one more accepted number; a number that is not fresh changes nothing. */
export const accept = (window: ReplayWindow, number: number): ReplayWindow =>
  isFresh(window, number) ? insert(window, number, WINDOW_SIZE) : window;

/**
 * Tells whether a number has surely not been accepted since the window began; it may be lower than the floor. That is
 * enough for a request that Echo shows to be fresh, as several can be challenged at once and come back in any order.
 */
export const isUnseen = ({ numbers }: ReplayWindow, number: number, size = WINDOW_SIZE): boolean =>
  !numbers.includes(number) && (numbers.length < size || number > (numbers[0] ?? 0));

/** Returns the window with a number that is {@link isUnseen | unseen}; others stay as fresh as they were. */
export const acceptUnseen = (window: ReplayWindow, number: number, size = WINDOW_SIZE): ReplayWindow =>
  isUnseen(window, number, size) ? insert(window, number, size) : window;

function insert({ floor, numbers: before }: ReplayWindow, number: number, size: number): ReplayWindow {
  const at = before.findLastIndex((kept) => kept < number) + 1;
  const numbers = before.toSpliced(at, 0, number).slice(-size);
  // Numbers that were lower than the floor may be among them, and it never sinks.
  return { floor: numbers.length < size ? floor : Math.max(floor, numbers[0] ?? 0), numbers };
}
