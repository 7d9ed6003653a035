/** Handlers that wedge the agent: its event loop, or its table of handlers. What TABLE says holds from the start. */

let table = process.env['TABLE'] ?? 'works';

// Nothing that the agent offers can break its table. What finds `ping` in a map is broken instead.
const { get } = Map.prototype;
/** @param {unknown} name */
Map.prototype.get = function (name) {
  const found = get.call(this, name);
  if (table === 'works' || name !== 'ping' || found?.run === undefined) return found;
  if (table === 'throws') throw new Error('the table is broken');
  return { ...found, run: () => new Promise(() => undefined) };
};

export const setTable = {
  name: 'table',
  description: 'Breaks or mends the table of handlers: works, throws, hangs',
  safe: true,
  /** @param {{ args: [string] }} params */
  run({ args: [state] }) {
    table = state;
  },
};

export const spin = {
  name: 'spin',
  description: 'Keeps the event loop busy for ever',
  safe: true,
  run() {
    for (;;);
  },
};

export const once = {
  name: 'once',
  description: 'Must not run twice: it waits until the journal has it',
  run: () => 'done',
};

export const hold = {
  name: 'hold',
  description: 'Keeps its place',
  safe: true,
  run: () => new Promise(() => undefined),
};
