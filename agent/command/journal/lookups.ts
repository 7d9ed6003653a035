import { SupersimError } from '../../../shared/errors.js';
import type { Found, Then } from './types.js';

/** Most lookups that wait for the disk; further datagrams are refused as busy. */
const MAX_WAITING = 1024;

/** What is looked up. */
export interface Wanted {
  /** Undefined for a datagram whose repeats cannot be recognised. */
  readonly key: Uint8Array | undefined;
  /** The exchange lifetime of its peer. */
  readonly lifetimeMs: number;
}

export interface LookupOptions {
  /** Answers from memory; `later` where the disk must be read. */
  readonly inMemory: (wanted: Wanted) => Found | undefined | 'later';
  readonly onDisk: (wanted: Wanted) => Promise<Found | undefined>;
}

interface Waiting extends Wanted {
  readonly then: Then;
}

/**
 * Answers lookups, at once where memory can. The lookups of one peer are answered in their order: what comes while
 * another one waits for the disk waits too. Until {@link open} is called all of them wait.
 */
export function createLookups({ inMemory, onDisk }: LookupOptions) {
  const queues = new Map<string, Waiting[]>();
  let count = 0;
  let isOpen = false;

  function find(wanted: Wanted, peer: string, then: Then): void {
    const queue = queues.get(peer);
    const found = isOpen && queue === undefined ? inMemory(wanted) : 'later';
    if (found !== 'later') then(found);
    else if (count >= MAX_WAITING) {
      then({ kind: 'unknown', error: new SupersimError('busy', 'too many commands wait for the journal') });
    } else {
      count++;
      const waiting = { ...wanted, then };
      if (queue !== undefined) queue.push(waiting);
      else {
        queues.set(peer, [waiting]);
        if (isOpen) void answer(peer);
      }
    }
  }

  async function answer(peer: string): Promise<void> {
    const queue = queues.get(peer) ?? [];
    for (let first = queue[0]; first !== undefined; first = queue[0]) {
      const known = inMemory(first);
      const found = known === 'later' ? await onDisk(first) : known;
      count--;
      // What it starts may look up again: it must find the others before it.
      first.then(found);
      queue.shift();
    }
    queues.delete(peer);
  }

  return {
    find,
    /** Answers what waits, and from now on what comes. */
    open(): void {
      if (isOpen) return;
      isOpen = true;
      for (const peer of [...queues.keys()]) void answer(peer);
    },
  };
}
