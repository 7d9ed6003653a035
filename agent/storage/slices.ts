/** For so long calls are made in one turn of the event loop. */
const SLICE_MS = 1;

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
    if (at < waiting.length) {
      setImmediate(run);
      return;
    }
    waiting = [];
    at = 0;
    scheduled = false;
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
