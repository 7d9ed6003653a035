import { expect, test } from 'vitest';
import { createPlaces } from '../../../sender/broadcast/places.js';
import { rejection } from '../support.js';

const { signal } = new AbortController();

test('so many have a place, the others in the order of coming', async () => {
  const places = createPlaces(2);
  const entered: string[] = [];
  const enter = async (name: string) => {
    const leave = await places.take(signal);
    entered.push(name);
    return leave;
  };
  const [first, second] = await Promise.all(['a', 'b'].map(enter));
  const rest = ['c', 'd'].map(enter);
  await new Promise(setImmediate);
  expect(entered).toEqual(['a', 'b']);
  second?.();
  await rest[0];
  expect(entered).toEqual(['a', 'b', 'c']);
  first?.();
  await rest[1];
  expect(entered).toEqual(['a', 'b', 'c', 'd']);
});

test('who is stopped while waiting takes no place, and who comes stopped neither', async () => {
  const places = createPlaces(1);
  const leave = await places.take(signal);
  const abort = new AbortController();
  const stopped = rejection(places.take(abort.signal));
  const next = places.take(signal);
  abort.abort(new Error('stopped'));
  expect(await stopped).toEqual(new Error('stopped'));
  expect(await rejection(places.take(abort.signal))).toEqual(new Error('stopped'));
  leave();
  (await next)();
  (await places.take(signal))();
});
