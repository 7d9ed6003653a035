/** Most turns of the event loop that a write waits for others. Node reads up to 32 datagrams in each. */
const MAX_TURNS = 8;

/** Waits until what arrives together has arrived. */
export interface Gatherer {
  /** Begins to wait, unless it waits already. */
  start(): void;
  /** Ends the wait without an effect. */
  cancel(): void;
}

/**
 * Makes a gatherer: it ends at the end of the first turn of the event loop that brought nothing more, or of the eighth
 * one.
 *
 * @param count returns how much has arrived
 * @param end called at the end
 * @param isDue whether it may end already
 */
export function createGatherer(count: () => number, end: () => void, isDue: () => boolean = () => true): Gatherer {
  let scheduled: NodeJS.Immediate | undefined;
  /** How much had arrived at the end of the last turn, and how many turns there were. */
  let gathered = -1;
  let turns = 0;

  function gather(): void {
    if ((count() === gathered || turns >= MAX_TURNS) && isDue()) {
      scheduled = undefined;
      end();
      return;
    }
    gathered = count();
    turns++;
    scheduled = setImmediate(gather);
  }

  return {
    start() {
      if (scheduled !== undefined) return;
      gathered = -1;
      turns = 0;
      scheduled = setImmediate(gather);
    },
    cancel() {
      if (scheduled !== undefined) clearImmediate(scheduled);
      scheduled = undefined;
    },
  };
}

/** Gathers writes, so that those that come together share one commit: each commit waits for the disk. */
export interface GroupCommitter<W> {
  add(write: W): void;
  /** Commits now what has been gathered. */
  flush(): void;
}

/**
 * Makes a group committer, which commits what a {@link createGatherer} has gathered.
 *
 * @param commit writes a group, in order, and reports the result to each write; must not throw
 */
export function createGroupCommitter<W>(commit: (group: readonly W[]) => void): GroupCommitter<W> {
  let waiting: W[] = [];
  const gatherer = createGatherer(() => waiting.length, flush);

  function flush(): void {
    gatherer.cancel();
    const group = waiting;
    if (group.length === 0) return;
    waiting = [];
    commit(group);
  }

  return {
    add(write) {
      waiting.push(write);
      gatherer.start();
    },
    flush,
  };
}
