import { expect, it } from 'vitest';
import { formatMessage } from '../../../shared/coap/message.js';
import { OPTION, stringOption } from '../../../shared/coap/options.js';
import { parseProtectedRequest, protectRequest, unprotectRequest } from '../../../shared/oscore/request.js';
import { requestMessage } from '../../support/coap.js';
import { DEVICE, mutate, OPERATOR, parseMutated } from '../../support/oscore.js';
import { SEED, seededRandom } from '../../support/seed.js';

const MESSAGES = 1_000_000;
const NUMBER = 61_865_984_000;

it('a million mutated requests crash nothing, and none is opened whose kid, number or ciphertext was changed', () => {
  const random = seededRandom(SEED);
  const originals = [
    requestMessage({ method: '0.01', path: 'ping' }),
    requestMessage({ path: 'relay/set', payload: 'on', options: [stringOption(OPTION.uriHost, 'gateway')] }),
    requestMessage({ path: 'log', block1: { number: 3, more: true, exponent: 3 }, payload: random.bytes(128) }),
  ].map((request, index) => {
    const { message } = protectRequest(OPERATOR, NUMBER + index, request, { sendsKidContext: index === 1 });
    const parsed = parseProtectedRequest(message);
    if (!parsed.ok) throw new Error(parsed.reason);
    return { bytes: formatMessage({ ...request, ...message }), request: parsed.request };
  });
  const counts = new Map<string, number>();
  const wrong: string[] = [];
  for (let round = 0; round < MESSAGES; round++) {
    const original = originals[round % originals.length];
    const mutated = original && parseMutated(mutate(original.bytes, random));
    const parsed = mutated && parseProtectedRequest(mutated);
    const opened = parsed?.ok === true ? unprotectRequest(DEVICE, parsed.request) : undefined;
    const result =
      opened?.ok === true ? 'opened' : (opened?.reason ?? (parsed?.ok === false ? parsed.reason : 'no CoAP'));
    counts.set(result, (counts.get(result) ?? 0) + 1);
    if (opened?.ok !== true || parsed?.ok !== true || original === undefined) continue;
    const { kid, number, ciphertext } = parsed.request;
    const isSame =
      kid.equals(original.request.kid) &&
      number === original.request.number &&
      ciphertext.equals(original.request.ciphertext);
    if (!isSame) wrong.push(mutated?.payload.toString('hex') ?? '');
  }
  expect(wrong, `of seed ${SEED}`).toEqual([]);
  // It reached each step of opening a request, and most of what was mutated was refused.
  expect([...counts.keys()].sort()).toEqual(
    ['bad-tag', 'malformed', 'no CoAP', 'not-oscore', 'opened', 'outer-block', 'unknown-kid'].sort(),
  );
  expect(counts.get('bad-tag')).toBeGreaterThan(MESSAGES / 10);
}, 240_000);
