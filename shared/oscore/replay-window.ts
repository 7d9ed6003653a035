/** Most numbers that a window keeps. */
export const WINDOW_SIZE = 64;

/**
 * The sequence numbers of the requests that were accepted from one peer (RFC 8613 §7.4), as plain data that can be stored.
 *
 * Numbers follow the peer's clock and have wide gaps, so the window keeps the {@link WINDOW_SIZE} highest accepted numbers
 * themselves instead of a bit per number. Every accepted number is kept or lower than `floor`, which makes these fresh:
 * - While the window is not full, no number has been dropped. Any number from `floor` that is not kept is fresh, also one
 *   below the lowest kept number, as requests can overtake each other. `floor` is where the window began: 0 for a new key;
 *   after a loss, the number of the request that Echo showed to be fresh.
 * - When the window is full, `floor` is the lowest kept number, and any number above it that is not kept is fresh. The
 *   lowest number is dropped for a higher one; dropping the oldest instead would make a dropped number fresh again.
 */
export interface ReplayWindow {
  /** Lower numbers are not fresh. */
  readonly floor: number;
  /** In ascending order, at most {@link WINDOW_SIZE}. */
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
  isFresh(window, number) ? insert(window, number) : window;

/**
 * Tells whether a request that Echo shows to be fresh may be accepted. It may be lower than the floor, as several requests
 * can be challenged at once and come back in any order; it must only not have been accepted since the window began.
 */
export const isFreshWithEcho = ({ numbers }: ReplayWindow, number: number): boolean =>
  !numbers.includes(number) && (numbers.length < WINDOW_SIZE || number > (numbers[0] ?? 0));

/** Returns the window with the number of a request that Echo shows to be fresh; others stay as fresh as they were. */
export const acceptWithEcho = (window: ReplayWindow, number: number): ReplayWindow =>
  isFreshWithEcho(window, number) ? insert(window, number) : window;

function insert({ floor, numbers: before }: ReplayWindow, number: number): ReplayWindow {
  const at = before.findLastIndex((kept) => kept < number) + 1;
  const numbers = before.toSpliced(at, 0, number).slice(-WINDOW_SIZE);
  // Numbers that Echo let in may be lower than the floor, which never sinks.
  return { floor: numbers.length < WINDOW_SIZE ? floor : Math.max(floor, numbers[0] ?? 0), numbers };
}
