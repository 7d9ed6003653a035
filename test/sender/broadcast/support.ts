import type { CreateParams, ReplyListener, ReplySource } from '../../../sender/index.js';
import { formatMessage, parseMessage } from '../../../shared/coap/message.js';
import { OPTION, stringOption } from '../../../shared/coap/options.js';
import { readRequest } from '../../../shared/coap/request.js';
import { detectFormat } from '../../../shared/format/detect.js';
import { formatJournalIdentity, type JournalIdentity } from '../../../shared/format/journal-identity.js';
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

/** Tells whether a datagram is the ping before a command that is sent again. */
export function isPing(bytes: Buffer): boolean {
  if (detectFormat(bytes) !== 'coap') return false;
  const request = readRequest(parseMessage(bytes));
  return 'path' in request && request.path.join('/') === 'ping' && request.asksJournal === true;
}

/**
 * A device with a journal: a datagram that comes again is answered and not run, until the journal is lost. It counts
 * the runs.
 */
export function makeJournalDevice(identity: JournalIdentity | undefined) {
  const state = { runs: 0, journal: identity, known: new Set<string>() };
  const device: Device = (bytes) => {
    const { messageId, token } = parseMessage(bytes);
    const head = { type: 'ACK', code: '2.04', messageId, token, payload: Buffer.alloc(0) } as const;
    const { journal, known } = state;
    if (isPing(bytes)) {
      const options = journal === undefined ? [] : [stringOption(OPTION.journal, formatJournalIdentity(journal))];
      return formatMessage({ ...head, code: '2.05', options, payload: Buffer.from('pong') });
    }
    const isRepeat = known.has(bytes.toString('hex'));
    known.add(bytes.toString('hex'));
    if (!isRepeat) state.runs++;
    return formatMessage({ ...head, options: isRepeat ? [stringOption(OPTION.forgotten, '')] : [] });
  };
  const replaceJournal = (next: JournalIdentity | undefined) => {
    state.journal = next;
    state.known = new Set();
  };
  return { device, state, replaceJournal };
}

/**
 * An API in memory, with a device behind each SIM that answers at once.
 *
 * @param device also answers the pings before commands that are sent again
 */
export function makeFleet(device: Device = ok, create?: (params: CreateParams, count: number) => Promise<unknown>) {
  const listeners = new Map<string, ReplyListener>();
  /** What each SIM was sent, in hexadecimal. */
  const posts: { readonly sim: string; readonly hex: string }[] = [];
  /** The SIMs that were sent a ping before their command was sent again. */
  const pings: CreateParams[] = [];
  let count = 0;
  const state = { most: 0, keep: true };

  const client = {
    async create(params: CreateParams): Promise<IpCommand> {
      count++;
      const { sim } = params;
      const bytes = Buffer.from(params.payload);
      if (state.keep) {
        if (isPing(bytes)) pings.push(params);
        else posts.push({ sim, hex: bytes.toString('hex') });
      }
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

  return { client, replies, posts, pings, state, listeners };
}

export const simNames = (count: number): string[] => Array.from({ length: count }, (_, index) => `sim-${index + 1}`);
