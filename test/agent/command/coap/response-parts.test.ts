import { describe, expect, it } from 'vitest';
import { fitResponse, isBlock, plainParts, responseOf } from '../../../../agent/command/coap/response-parts.js';
import { findBlock } from '../../../../shared/coap/block.js';
import { formatMessage } from '../../../../shared/coap/message.js';
import { findOption, OPTION } from '../../../../shared/coap/options.js';
import { readRequest } from '../../../../shared/coap/request.js';
import type { CoapResponse } from '../../../../shared/coap/response.js';
import { type RequestSetup, requestMessage } from '../../../support/coap.js';

const ECHO = Buffer.alloc(12, 'e');
const LONG = Buffer.from(Array.from({ length: 5000 }, (_, index) => index % 251));
const TOKEN = Buffer.alloc(8, 't');

/** The message that a response becomes. */
function fitted(
  payload: Buffer,
  limit: number | undefined,
  setup: RequestSetup = {},
  change: Partial<CoapResponse> = {},
) {
  const request = readRequest(requestMessage(setup));
  if ('diagnostic' in request) throw new Error(request.diagnostic);
  const response = { code: '2.05', contentFormat: 0, payload, ...change } as const;
  const allowed = limit === undefined ? undefined : { bytes: limit, echo: ECHO };
  const parts = fitResponse(response, { request, token: TOKEN, largest: 6, limit: allowed });
  const bytes = formatMessage({ ...parts, type: 'ACK', messageId: 1, token: TOKEN });
  return { ...parts, size: bytes.length, block: findBlock(parts.options, OPTION.block2) };
}

describe('a response under a limit', () => {
  it('stays whole, without an Echo option, where it fits', () => {
    const { options, payload, size } = fitted(LONG.subarray(0, 186), 200);
    expect({ payload, size }).toEqual({ payload: LONG.subarray(0, 186), size: 200 });
    expect(findOption(options, OPTION.echo)).toBeUndefined();
  });

  it('goes in the largest blocks that fit, with an Echo option', () => {
    for (const [limit, exponent] of [
      [200, 3],
      [150, 2],
      [100, 1],
      [60, 0],
      [700, 5],
    ] as const) {
      const { block, options, size } = fitted(LONG, limit);
      expect(block).toEqual({ number: 0, more: true, exponent });
      expect(findOption(options, OPTION.echo)).toEqual(ECHO);
      expect(size).toBeLessThanOrEqual(limit);
    }
  });

  it('fits with all options that there may be', () => {
    const all = { clockUnsynchronized: true, journal: 'a'.repeat(24), maxAge: 0xffff } as const;
    const { block, size } = fitted(LONG, 200, { block2: { number: 4, more: false, exponent: 6 } }, all);
    expect(block).toEqual({ number: 32, more: true, exponent: 3 });
    expect(size).toBeLessThanOrEqual(200);
    const first = fitted(LONG, 195, {}, all);
    expect(first.block).toMatchObject({ exponent: 2 });
    expect(first.size).toBeLessThanOrEqual(195);
  });

  it('keeps the place that was asked for, in smaller blocks', () => {
    const { block, payload } = fitted(LONG, 200, { block2: { number: 2, more: false, exponent: 6 } });
    expect(block).toEqual({ number: 16, more: true, exponent: 3 });
    expect(payload).toEqual(LONG.subarray(2048, 2048 + 128));
  });

  it('is not touched where there is no limit', () => {
    const { block, options } = fitted(LONG, undefined);
    expect(block).toEqual({ number: 0, more: true, exponent: 6 });
    expect(findOption(options, OPTION.echo)).toBeUndefined();
  });
});

it('a response is read as it was written', () => {
  const responses: CoapResponse[] = [
    {
      code: '2.05',
      contentFormat: 50,
      payload: Buffer.from('1'),
      clockUnsynchronized: true,
      journal: '0123456789ab:5',
    },
    { code: '5.03', payload: Buffer.from('busy'), maxAge: 5, unrecorded: true },
    { code: '2.04', payload: Buffer.alloc(0), forgotten: true },
  ];
  for (const response of responses) {
    const parts = plainParts(response);
    expect(responseOf({ ...parts, type: 'ACK', messageId: 1, token: TOKEN })).toEqual(response);
    expect(isBlock(parts)).toBe(false);
  }
});
