import { createFifo } from '../../base/fifo.js';
import type { Datagram } from '../../transport/transport.js';

/** Most that waits, in bytes of memory: more than a receive buffer of the default size holds. */
export const MAX_WAITING_BYTES = 8_388_608;
/** About what a datagram takes besides its bytes. */
export const OVERHEAD_BYTES = 512;

interface Waiting {
  readonly datagram: Datagram;
  next: Waiting | undefined;
}

/** What waits of one address: a list, as one is made for each address that sends a single datagram. */
interface Line {
  readonly address: string;
  first: Waiting | undefined;
  last: Waiting | undefined;
  bytes: number;
}

/** Datagrams that wait, in a line for each source address, whatever its ports. */
export interface FairQueue {
  push(datagram: Datagram): void;
  /**
   * Takes the oldest datagram of the line that has its turn. Short lines have theirs first: an address that sends little
   * does not wait for those that send much.
   *
   * @param ofShort takes nothing but of a short line
   */
  shift(ofShort?: boolean): Datagram | undefined;
  readonly length: number;
}

/**
 * Makes a queue that is fair to source addresses. When it is full, what gives way is of the address that takes the most
 * memory: an address that sends less than its share loses nothing, whatever the others send.
 *
 * @param shed called with each datagram that there is no room for
 */
export function createFairQueue(shed: (datagram: Datagram) => void, maxBytes = MAX_WAITING_BYTES): FairQueue {
  /** Lines in which something waits, or did until all of it gave way: never more than datagrams. */
  const lines = new Map<string, Line>();
  const shortLines = createFifo<Line>();
  const longLines = createFifo<Line>();
  /** The longest of the lines that have grown since it did: by turns, all get shorter alike. */
  let longest: Line | undefined;
  let length = 0;
  let bytes = 0;

  function push(datagram: Datagram): void {
    const { address } = datagram.source;
    const size = sizeOf(datagram);
    const known = lines.get(address);
    const line = known ?? { address, first: undefined, last: undefined, bytes: 0 };
    while (bytes + size > maxBytes) {
      if (longest === undefined || longest.bytes === 0) longest = longLines.first ?? shortLines.first;
      const oldest = longest !== undefined && longest.bytes > line.bytes + size ? takeOf(longest) : undefined;
      shed(oldest ?? datagram);
      if (oldest === undefined) return;
    }
    if (known === undefined) {
      lines.set(address, line);
      shortLines.push(line);
    }
    const waiting = { datagram, next: undefined };
    if (line.last === undefined) line.first = waiting;
    else line.last.next = waiting;
    line.last = waiting;
    count(line, 1, size);
    if (longest === undefined || line.bytes > longest.bytes) longest = line;
  }

  function takeOf(line: Line): Datagram | undefined {
    const { first } = line;
    if (first === undefined) return undefined;
    line.first = first.next;
    if (line.first === undefined) line.last = undefined;
    count(line, -1, -sizeOf(first.datagram));
    return first.datagram;
  }

  function count(line: Line, datagrams: number, size: number): void {
    length += datagrams;
    bytes += size;
    line.bytes += size;
  }

  /** A line is short that has less than half of the mean. */
  const isShort = (line: Line): boolean => line.bytes * lines.size * 2 < bytes;

  function shift(ofShort = false): Datagram | undefined {
    for (;;) {
      const line = shortLines.shift() ?? (ofShort ? undefined : longLines.shift());
      if (line === undefined) return undefined;
      const datagram = takeOf(line);
      if (line.first !== undefined) (isShort(line) ? shortLines : longLines).push(line);
      else lines.delete(line.address);
      // All that waited in it may have given way to others.
      if (datagram !== undefined) return datagram;
    }
  }

  return {
    push,
    shift,
    get length() {
      return length;
    },
  };
}

const sizeOf = ({ bytes }: Datagram): number => bytes.length + OVERHEAD_BYTES;
