import { expect, it } from 'vitest';
import { EMPTY_CODE, parseMessage } from '../../../../shared/coap/message.js';
import { readFields } from '../../../../shared/oscore/protected-message.js';
import { HOURS, liveADay, WORDS } from './day.js';
import { openScene } from './scene.js';

/** How a word may be written in a datagram: as it is, in hexadecimal, in Base64 at each of its three alignments. */
function writings(word: string | Buffer): string[] {
  const bytes = Buffer.from(word);
  const base64 = [0, 1, 2].map((before) => {
    const written = Buffer.concat([Buffer.alloc(before), bytes]).toString('base64');
    return written.slice(before === 0 ? 0 : before + 1, Math.floor(((before + bytes.length) * 4) / 3));
  });
  return [bytes.toString('latin1'), bytes.toString('hex'), ...base64];
}

it('the datagrams of a day say nothing to who has all of them but that, and how much, was said', async () => {
  const scene = await openScene();
  await liveADay(scene);
  const { toSim, fromSim } = scene.captured;
  const { masterSecret, deviceId } = scene.key;
  const secrets = [...WORDS, deviceId, scene.sim.uniqueName, masterSecret].flatMap(writings);
  expect(scene.device.runs().length).toBeGreaterThan(2 * HOURS);
  expect(toSim.length).toBeGreaterThan(3 * HOURS);
  const text = [...toSim, ...fromSim].map((bytes) => bytes.toString('latin1').toLowerCase());
  expect(secrets.filter((secret) => text.some((each) => each.includes(secret.toLowerCase())))).toEqual([]);

  // All requests look the same, all responses, and all events. A response that takes long comes after an acknowledgement.
  expect(kindsOf(toSim)).toEqual(['CON 0.02, options 9, token 8, kid 01, number']);
  const late = ['ACK 0.00, 4 bytes', 'NON 2.04, options 9, token 8, number'];
  expect(kindsOf(fromSim).filter((kind) => !late.includes(kind))).toEqual([
    ...['ACK 2.04, options 9, token 8, number', 'NON 0.02, options 9, token 0, kid empty, number'],
  ]);
});

const kindsOf = (datagrams: readonly Buffer[]): string[] => [...new Set(datagrams.map(kindOf))].toSorted();

/** What can be seen of a datagram, but for the values of its numbers and its length. */
function kindOf(bytes: Buffer): string {
  const message = parseMessage(bytes);
  const { type, code, options, token } = message;
  if (code === EMPTY_CODE) return `${type} ${code}, ${bytes.length} bytes`;
  const fields = readFields(message);
  if (typeof fields === 'string') return `${type} ${code}, ${fields}`;
  const { kid, kidContext, partialIv } = fields;
  return [
    `${type} ${code}, options ${options.map(({ number }) => number)}, token ${token.length}`,
    ...(kid === undefined ? [] : [`kid ${kid.toString('hex') || 'empty'}`]),
    ...(kidContext === undefined ? [] : ['kid context']),
    ...(partialIv === undefined ? [] : ['number']),
  ].join(', ');
}

it('a word would be found in each way in which it may be written', () => {
  const datagrams = ['', 'x', 'xy'].flatMap((before) => {
    const bytes = Buffer.from(`${before}kestrel cabinet`);
    return [bytes.toString('latin1'), bytes.toString('base64'), bytes.toString('hex')];
  });
  const found = datagrams.filter((each) => writings('kestrel').some((written) => each.includes(written)));
  expect(found).toEqual(datagrams);
});
