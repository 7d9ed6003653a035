import { encode } from 'cborg';
import { datagramKey, digestOf } from '../../../agent/command/dedup/entry.js';
import type { JournalCommand } from '../../../agent/command/journal/entry.js';
import { requestBytes } from '../../support/coap.js';
import { FROM_CARRIER } from '../../support/pipeline.js';
import { asAfterKill, heldHandler, settled, startWired, type WiredSetup } from './wired-support.js';

export const DIRECT = { address: '192.168.1.5', port: 40_000 };
export const CONFIG = {
  allow: ['192.168.0.0/16', '100.64.0.0/10'],
  listen: { ports: [6969, { port: 7000, format: 'raw' as const, handler: 'hold' }] },
};
export const FORMATS: [format: string, request: Uint8Array | string][] = [
  ['text', '#1 hold'],
  ['json', '{"id":1,"method":"hold"}'],
  ['cbor', encode({ id: 1, method: 'hold' })],
  ['coap', requestBytes({ path: 'hold', token: 'a', messageId: 9 })],
];

/** A command that runs, and the state folder as a kill leaves it then. */
export async function killedWhileRunning(
  request: Uint8Array | string,
  { source = FROM_CARRIER, ...setup }: WiredSetup & { source?: typeof FROM_CARRIER } = {},
) {
  const { handler, running } = heldHandler();
  const { receive, folder } = await startWired({ config: CONFIG, handlers: [handler], ...setup });
  receive(request, source);
  await running;
  return asAfterKill(folder);
}

/** A command that waits for a place, and the state folder as a kill leaves it then. */
export async function killedWhileWaiting(request: Uint8Array | string, setup: WiredSetup = {}) {
  const first = heldHandler('first');
  const { handler } = heldHandler();
  const { receive, folder } = await startWired({
    handlers: [first.handler, handler],
    ...setup,
    config: { ...CONFIG, limits: { running: 1 } },
  });
  receive('{"method":"first"}');
  await first.running;
  receive(request);
  await settled();
  return asAfterKill(folder);
}

/** A command of the journal, from the carrier. */
export function journalled(request: string | Uint8Array, change: Partial<JournalCommand> = {}): JournalCommand {
  const bytes = Buffer.from(request);
  return {
    key: digestOf(datagramKey('gateway', bytes)),
    peer: 'gateway',
    name: 'hold',
    format: 'text',
    request: bytes,
    source: FROM_CARRIER,
    port: 6969,
    transport: 'fake',
    idempotent: false,
    deadline: null,
    lifetimeMs: 1000,
    ...change,
  };
}
