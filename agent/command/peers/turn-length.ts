/** Most time for waiting datagrams in one turn of the event loop. */
export const MOST_MS = 1;
/** Least: of several turns together it is enough for one datagram. */
export const LEAST_MS = 0.001;
/** Node reads at most so many datagrams of a socket in one turn: then more may wait in the kernel. */
export const READ_AT_ONCE = 32;
/** So many turns in a row may read so many: senders that wait for their replies cause no longer row. */
export const PATIENT_TURNS = 8;
const LESS = 1 / 2;
const MORE = 1.02;

/**
 * Makes the rule how long waiting datagrams are handled before the sockets are read again. As long as the sockets are
 * not read empty, the time is cut in half each turn, until they are, whatever else the event loop does meanwhile for
 * commands that were started before; then it grows again.
 *
 * @returns a function that takes how many datagrams the last turn read, and returns milliseconds
 */
export function createTurnLength(): (read: number) => number {
  let length = MOST_MS;
  let row = 0;
  return (read) => {
    row = read < READ_AT_ONCE ? 0 : row + 1;
    if (row > PATIENT_TURNS) length = Math.max(LEAST_MS, length * LESS);
    else if (row === 0) length = Math.min(MOST_MS, length * MORE);
    return length;
  };
}
