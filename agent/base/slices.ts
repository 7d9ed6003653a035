/** For so long work is done in one turn of the event loop, which also takes in up to 32 datagrams. */
export const SLICE_MS = 0.25;
/** How many calls that were made are kept until they are removed together. */
const MAX_MADE = 1024;

/**
 * Makes calls one after the other, a slice of them in each turn of the event loop: so that a commit of hundreds of
 * commands does not keep the datagrams waiting that come meanwhile. Never calls at once.
 */
export function createSlices() {
  let waiting: (() => void)[] = [];
  let at = 0;
  let scheduled = false;

  function run(): void {
    const end = performance.now() + SLICE_MS;
    for (let call = waiting[at]; call !== undefined; call = waiting[at]) {
      at++;
      call();
      if (performance.now() >= end) break;
    }
    scheduled = at < waiting.length;
    if (scheduled) setImmediate(run);
    // Under a constant load there may always be one that waits.
    if (!scheduled || at >= MAX_MADE) {
      waiting = waiting.slice(at);
      at = 0;
    }
  }

  return {
    /** @param call must not throw */
    add(call: () => void): void {
      waiting.push(call);
      if (scheduled) return;
      scheduled = true;
      setImmediate(run);
    },
  };
}
