import { blockOption, blockSize, findBlock } from '../../shared/coap/block.js';
import { type CoapMessage, emptyMessage, formatMessage, parseMessage } from '../../shared/coap/message.js';
import { OPTION, uintOption } from '../../shared/coap/options.js';

export interface DeviceOptions {
  /** What the handler returns, as text. */
  readonly result: string;
  /** Milliseconds that it takes. */
  readonly takes: number;
  /** Bytes of a block of the result, 16 to 1024. */
  readonly block?: number;
  /** Calls back later, on the test's clock. */
  readonly after: (ms: number, then: () => void) => void;
  readonly send: (bytes: Buffer) => void;
}

/**
 * A tiny model of an agent: it knows datagrams that come again, puts blocks together, runs the handler once, and
 * keeps its result for those who ask for its blocks.
 */
export function modelDevice({ result, takes, block = 1024, after, send }: DeviceOptions) {
  const replies = new Map<string, Buffer | 'running'>();
  const accepted = new Set<string>();
  const parts: Buffer[] = [];
  const body = Buffer.from(result);
  const exponent = Math.log2(block) - 4;
  const device = { runs: 0, bodies: [] as Buffer[], receive };
  return device;

  function receive(bytes: Buffer): void {
    const request = parseMessage(bytes);
    const key = bytes.toString('hex');
    const known = replies.get(key);
    if (known === 'running') {
      accepted.add(key);
      send(formatMessage(emptyMessage('ACK', request.messageId)));
    } else if (known !== undefined) send(known);
    else if (request.type === 'CON') take(request, key);
  }

  function take(request: CoapMessage, key: string): void {
    const block1 = findBlock(request.options, OPTION.block1);
    const block2 = findBlock(request.options, OPTION.block2);
    if (block1 === 'reserved' || block2 === 'reserved') throw new Error('a reserved block size');
    if (block2 !== undefined) answer(request, key, '2.04', block2.number);
    else if (block1 === undefined) run(request, key, Buffer.from(request.payload));
    else {
      const inOrder = block1.number * blockSize(block1.exponent) === Buffer.concat(parts).length;
      if (inOrder) parts.push(Buffer.from(request.payload));
      if (!inOrder) answer(request, key, '4.08');
      else if (block1.more) answer(request, key, '2.31');
      else run(request, key, Buffer.concat(parts));
    }
  }

  function run(request: CoapMessage, key: string, params: Buffer): void {
    device.bodies.push(params);
    device.runs++;
    replies.set(key, 'running');
    if (takes === 0) answer(request, key, '2.04', 0);
    else after(takes, () => answer(request, key, '2.04', 0));
  }

  function answer({ messageId, token }: CoapMessage, key: string, code: string, number?: number): void {
    const start = (number ?? 0) * block;
    const payload = number === undefined ? Buffer.alloc(0) : body.subarray(start, start + block);
    const more = start + block < body.length;
    const options = [
      uintOption(OPTION.contentFormat, 0),
      ...(number !== undefined && (more || number > 0) ? [blockOption(OPTION.block2, { number, more, exponent })] : []),
    ];
    const reply: CoapMessage = { type: 'ACK', code, messageId, token, options, payload };
    replies.set(key, formatMessage(reply));
    send(formatMessage(accepted.has(key) ? { ...reply, type: 'NON', messageId: (messageId + 7919) & 0xffff } : reply));
  }
}
