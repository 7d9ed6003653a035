/** Most turns of the event loop that a write waits for others. Node reads up to 32 datagrams in each. */
const MAX_TURNS = 8;

/** Gathers writes, so that those that come together share one commit: each commit waits for the disk. */
export interface GroupCommitter<W> {
  add(write: W): void;
  /** Commits now what has been gathered. */
  flush(): void;
}

/**
 * Makes a group committer. It commits at the end of the first turn of the event loop that brought no further write,
 * {@link MAX_TURNS} at most.
 *
 * @param commit writes a group, in order, and reports the result to each write; must not throw
 */
export function createGroupCommitter<W>(commit: (group: readonly W[]) => void): GroupCommitter<W> {
  let waiting: W[] = [];
  let scheduled: NodeJS.Immediate | undefined;
  /** How many writes waited at the end of the last turn, and for how many turns the first has. */
  let gathered = 0;
  let turns = 0;

  function gather(): void {
    if (waiting.length === gathered || turns === MAX_TURNS) flush();
    else {
      gathered = waiting.length;
      turns++;
      scheduled = setImmediate(gather);
    }
  }

  function flush(): void {
    if (scheduled !== undefined) clearImmediate(scheduled);
    scheduled = undefined;
    gathered = 0;
    turns = 0;
    const group = waiting;
    if (group.length === 0) return;
    waiting = [];
    commit(group);
  }

  return {
    add(write) {
      waiting.push(write);
      scheduled ??= setImmediate(gather);
    },
    flush,
  };
}
