import type { CreateParams, ReplyListener, ReplySource } from '../../../sender/index.js';
import { formatMessage, parseMessage } from '../../../shared/coap/message.js';
import type { IpCommand } from '../../../shared/ip-command.js';
import { ipCommand } from '../support.js';

/** What a device answers to a datagram; undefined: nothing. */
export type Device = (bytes: Buffer, sim: string) => Buffer | undefined;

/** CoAP, in the ACK. */
export const respond =
  (code: string, payload = ''): Device =>
  (bytes) => {
    const { messageId, token } = parseMessage(bytes);
    return formatMessage({ type: 'ACK', code, messageId, token, options: [], payload: Buffer.from(payload) });
  };

export const ok = respond('2.04');

/** An API in memory, with a device behind each SIM that answers at once. */
export function makeFleet(device: Device = ok, create?: (params: CreateParams, count: number) => Promise<unknown>) {
  const listeners = new Map<string, ReplyListener>();
  /** What each SIM was sent, in hexadecimal. */
  const posts: { readonly sim: string; readonly hex: string }[] = [];
  let count = 0;
  const state = { most: 0, keep: true };

  const client = {
    async create(params: CreateParams): Promise<IpCommand> {
      count++;
      const { sim } = params;
      const bytes = Buffer.from(params.payload);
      if (state.keep) posts.push({ sim, hex: bytes.toString('hex') });
      await create?.(params, count);
      const reply = device(bytes, sim);
      if (reply !== undefined) {
        const from = { direction: 'from_sim', status: 'received', payload_type: 'binary' } as const;
        setImmediate(() => listeners.get(sim)?.onCommand(ipCommand(1, { ...from, payload: reply.toString('base64') })));
      }
      return ipCommand(count);
    },
    async *pages() {},
    async *sims(fleet: string) {
      for (const number of [1, 2, 3]) yield { sid: `${fleet}-${number}`, status: 'active' };
    },
  };

  const replies: ReplySource = {
    async listen(sim, listener) {
      listeners.set(sim, listener);
      state.most = Math.max(state.most, listeners.size);
      return () => void listeners.delete(sim);
    },
  };

  return { client, replies, posts, state, listeners };
}

export const simNames = (count: number): string[] => Array.from({ length: count }, (_, index) => `sim-${index + 1}`);
