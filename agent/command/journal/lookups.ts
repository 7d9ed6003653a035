import { setImmediate as nextTurn } from 'node:timers/promises';
import { SupersimError } from '../../../shared/errors.js';
import { isRoomFor } from '../../base/shares.js';
import { SLICE_MS } from '../../base/slices.js';
import type { Found, Then } from './types.js';

/**
 * Most lookups that wait, each with its datagram of at most 1300 bytes, of one peer three quarters of them; further ones
 * are refused as busy.
 */
export const MAX_WAITING = 8192;
/** Most lookups of one peer that read, or have read and wait for others: they share batches, and keep what they read. */
export const MAX_READING = 256;

/** What is looked up. */
export interface Wanted {
  /** Undefined for a datagram whose repeats cannot be recognised. */
  readonly key: Uint8Array | undefined;
  /** The exchange lifetime of its peer. */
  readonly lifetimeMs: number;
}

/** Memory cannot tell: the disk must be read. */
export interface Doubt {
  readonly kind: 'doubt';
  /** The numbers of the commands that it may be; each number is of one command only. */
  readonly numbers: readonly number[];
}

export interface LookupOptions {
  /** Answers from memory where it can. */
  readonly inMemory: (wanted: Wanted) => Found | Doubt | undefined;
  /** Looks at the commands that memory names now; undefined when it is none of them. */
  readonly onDisk: (wanted: Wanted) => Promise<Found | undefined>;
  /** Judges what neither memory nor the disk has. */
  readonly nowhere: (wanted: Wanted) => Found | undefined;
}

interface Waiting extends Wanted {
  readonly then: Then;
  /** The last read for it. */
  read: Read | undefined;
}

interface Read {
  /** What memory named when it began. */
  readonly numbers: readonly number[];
  isDone: boolean;
  found: Found | undefined;
  readonly done: Promise<void>;
}

/**
 * Answers lookups, at once where memory can. The lookups of one peer are answered in their order: what comes while
 * another one waits for the disk waits too. Until {@link open} is called all of them wait.
 *
 * The reads for one peer are under way at the same time. So while one waits for those before it, an earlier copy of the
 * same datagram may begin a command, and even end it: what was read before that is no longer true. Hence each is judged
 * anew when its turn comes, and what was read counts only if memory says the same as when the read began.
 */
export function createLookups({ inMemory, onDisk, nowhere }: LookupOptions) {
  const queues = new Map<string, Waiting[]>();
  let count = 0;
  let isOpen = false;

  function find(wanted: Wanted, peer: string, then: Then): void {
    const queue = queues.get(peer);
    const found = isOpen && queue === undefined ? inMemory(wanted) : DOUBT;
    if (found?.kind !== 'doubt') then(found);
    else if (!isRoomFor(queue?.length ?? 0, count, MAX_WAITING)) {
      then({ kind: 'unknown', error: new SupersimError('busy', 'too many commands wait for the journal') });
    } else {
      count++;
      const waiting = { ...wanted, then, read: undefined };
      if (queue === undefined) startQueue(peer, waiting);
      else {
        queue.push(waiting);
        if (isOpen && queue.length <= MAX_READING) judge(waiting);
      }
    }
  }

  function startQueue(peer: string, first: Waiting): void {
    const queue = [first];
    queues.set(peer, queue);
    if (isOpen) void answer(peer, queue);
  }

  /** Answers the lookups of one peer in their order, until none is left. */
  async function answer(peer: string, queue: Waiting[]): Promise<void> {
    for (const one of queue.slice(0, MAX_READING)) judge(one);
    let sliceEnd = performance.now() + SLICE_MS;
    for (let first = queue[0]; first !== undefined; first = queue[0]) {
      let found = judge(first);
      while (found === 'reading') {
        await first.read?.done;
        found = judge(first);
      }
      count--;
      // What it starts may look up again: it must find the others before it.
      first.then(found);
      queue.shift();
      const next = queue[MAX_READING - 1];
      if (next !== undefined) judge(next);
      if (performance.now() < sliceEnd) continue;
      // Thousands that are answered at once must not keep the datagrams waiting that come meanwhile.
      await nextTurn();
      sliceEnd = performance.now() + SLICE_MS;
    }
    queues.delete(peer);
  }

  /** Returns what is true now: from memory, or from a read since which nothing has changed; otherwise begins one. */
  function judge(one: Waiting): Found | undefined | 'reading' {
    const known = inMemory(one);
    if (known?.kind !== 'doubt') return known;
    if (one.read === undefined || !areSame(one.read.numbers, known.numbers)) one.read = startRead(one, known.numbers);
    const { isDone, found } = one.read;
    return isDone ? (found ?? nowhere(one)) : 'reading';
  }

  function startRead(one: Waiting, numbers: readonly number[]): Read {
    const done = onDisk(one).then((found) => {
      read.found = found;
      read.isDone = true;
    });
    const read: Read = { numbers, isDone: false, found: undefined, done };
    return read;
  }

  return {
    find,
    /** Answers what waits, and from now on what comes. */
    open(): void {
      if (isOpen) return;
      isOpen = true;
      for (const [peer, queue] of [...queues]) void answer(peer, queue);
    },
  };
}

/** Of a lookup that waits for others. */
const DOUBT: Doubt = { kind: 'doubt', numbers: [] };

const areSame = (some: readonly number[], others: readonly number[]): boolean =>
  some.length === others.length && some.every((number, at) => number === others[at]);
