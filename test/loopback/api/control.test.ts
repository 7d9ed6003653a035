import { describe, expect, test } from 'vitest';
import { resolveFaults } from '../../../loopback/network/faults/settings.js';
import { authorization, client, get, isType, start } from '../support.js';

type Target = Awaited<ReturnType<typeof start>>;

async function call(loopback: Target, method: string, path: string, body?: string) {
  const response = await fetch(`${loopback.url}${path}`, {
    method,
    headers: authorization(loopback),
    ...(body !== undefined && { body }),
  });
  const answer: unknown = await response.json();
  return { status: response.status, body: answer };
}

const put = (loopback: Target, path: string, body: unknown) => call(loopback, 'PUT', path, JSON.stringify(body));

describe('/loopback/faults', () => {
  test('shows the faults of the start and the seed', async () => {
    const loopback = await start({ faults: { loss: 0.2, up: { duplicate: [3] } }, seed: 42 });
    expect(await get(loopback, '/loopback/faults')).toMatchObject({
      status: 200,
      body: {
        seed: 42,
        faults: { down: { loss: 0.2, duplicate: 0, delay: '0ms' }, up: { loss: 0.2, duplicate: [3] } },
        packets: { down: 0, up: 0 },
        inFlight: 0,
        counters: { lost: 0 },
      },
    });
  });

  test('sets, shows and clears the faults of a running loopback, as the methods do', async () => {
    const loopback = await start({ seed: 42 });
    const faults = resolveFaults({ down: { delay: '1ms' } });
    expect(await put(loopback, '/loopback/faults', { faults: { down: { delay: '1ms' } } })).toMatchObject({
      status: 200,
      body: { seed: 42, faults },
    });
    expect(await loopback.events.take(isType('faults'))).toEqual({
      type: 'faults',
      faults: 'down.delay=1ms',
      seed: 42,
    });
    expect(loopback.faults()).toMatchObject({ seed: 42, faults });
    // The response can be sent back.
    expect(await put(loopback, '/loopback/faults', { faults, seed: 7 })).toMatchObject({ body: { seed: 7, faults } });
    loopback.setFaults({ loss: 1 });
    expect((await get(loopback, '/loopback/faults')).body).toMatchObject({ seed: 7, faults: { up: { loss: 1 } } });
    expect(await call(loopback, 'DELETE', '/loopback/faults')).toMatchObject({
      status: 200,
      body: { seed: 7, faults: resolveFaults({}) },
    });
  });

  test('shows a random seed if none was set', async () => {
    const [a, b] = [await start(), await start()];
    expect(a.faults().seed).not.toBe(b.faults().seed);
  });

  test.each([
    ['', 'the body is not JSON'],
    ['{"faults":{', 'the body is not JSON'],
    ['[]', 'expected object'],
    ['{}', 'faults: is missing'],
    ['{"loss":0.2}', 'loss'],
    ['{"faults":{"los":0.2}}', 'faults: there is no "los"; did you mean loss?'],
    ['{"faults":{"up":{"loss":2}}}', 'up.loss'],
    ['{"faults":{},"seed":-1}', 'seed'],
    ['{"faults":{},"seed":4294967296}', 'seed'],
    ['{"faults":null}', 'expected object'],
  ])('refuses the body %s and changes nothing', async (body, part) => {
    const loopback = await start({ faults: { loss: [9] } });
    const before = loopback.faults();
    expect(await call(loopback, 'PUT', '/loopback/faults', body)).toEqual({
      status: 400,
      body: { code: 'bad-input', message: expect.stringContaining(part), remedy: expect.any(String) },
    });
    expect(loopback.faults()).toEqual(before);
    expect(loopback.events.items).toEqual([]);
  });

  test('refuses a body over the limit', async () => {
    const loopback = await start();
    expect(await call(loopback, 'PUT', '/loopback/faults', ' '.repeat(65_537))).toMatchObject({ status: 413 });
  });

  test('refuses another method with 405 and the allowed ones', async () => {
    const loopback = await start();
    const response = await fetch(`${loopback.url}/loopback/faults`, {
      method: 'POST',
      headers: authorization(loopback),
    });
    expect(response.status).toBe(405);
    expect(response.headers.get('allow')).toContain('PUT');
  });
});

test.each([
  ['GET', '/loopback/faults'],
  ['PUT', '/loopback/faults'],
  ['DELETE', '/loopback/faults'],
  ['GET', '/loopback/sims'],
  ['PUT', '/loopback/sims'],
  ['PUT', '/loopback/sims/gateway-1'],
])('%s %s requires the credentials', async (method, path) => {
  const loopback = await start();
  expect((await fetch(`${loopback.url}${path}`, { method })).status).toBe(401);
  expect(await call({ ...loopback, authToken: 'wrong' }, method, path)).toMatchObject({ status: 401 });
  expect(loopback.events.items).toEqual([]);
});

describe('/loopback/sims', () => {
  test('sets the state of one SIM by name or SID, or of all', async () => {
    const loopback = await start({ sims: [{ name: 'a b' }, { name: 'c', state: 'inactive' }] });
    const [sid] = loopback.sims.map((sim) => sim.sid);
    const view = { name: 'a b', sid, address: '127.0.0.2' };
    expect(await put(loopback, '/loopback/sims/a%20b', { state: 'detached' })).toEqual({
      status: 200,
      body: { ...view, state: 'detached' },
    });
    expect(await loopback.events.take(isType('sim'))).toEqual({ type: 'sim', simName: 'a b', state: 'detached' });
    expect((await get(loopback, `/loopback/sims/${sid}`)).body).toEqual({ ...view, state: 'detached' });
    expect(await put(loopback, `/loopback/sims/${sid}`, { state: 'active' })).toMatchObject({
      body: { state: 'active' },
    });
    expect((await get(loopback, '/loopback/sims')).body).toMatchObject({
      sims: [{ state: 'active' }, { state: 'inactive' }],
    });
    expect(await put(loopback, '/loopback/sims', { state: 'detached' })).toMatchObject({
      status: 200,
      body: {
        sims: [
          { name: 'a b', state: 'detached' },
          { name: 'c', state: 'detached' },
        ],
      },
    });
    loopback.setSimState('active');
    expect(loopback.sims.map(({ state }) => state)).toEqual(['active', 'active']);
  });

  test.each([{ state: 'asleep' }, {}, { state: 'active', why: '' }])('refuses %j', async (body) => {
    const loopback = await start();
    expect(await put(loopback, '/loopback/sims/gateway-1', body)).toMatchObject({
      status: 400,
      body: { code: 'bad-input' },
    });
    expect(await put(loopback, '/loopback/sims', body)).toMatchObject({ status: 400, body: { code: 'bad-input' } });
    expect(loopback.sims).toMatchObject([{ state: 'active' }]);
  });

  test('does not find an unknown SIM', async () => {
    const loopback = await start();
    expect(await put(loopback, '/loopback/sims/nobody', { state: 'active' })).toMatchObject({ status: 404 });
    expect(await get(loopback, '/loopback/sims/nobody')).toMatchObject({ status: 404 });
  });

  test('the vendor’s Sim resource shows that a SIM is inactive, and not that it is detached', async () => {
    const loopback = await start({ sims: [{ name: 'a' }, { name: 'b' }, { name: 'c' }] });
    loopback.setSimState('inactive', 'b');
    loopback.setSimState('detached', 'c');
    const { sims } = client(loopback);
    expect((await sims.list()).map(({ status }) => status)).toEqual(['active', 'inactive', 'active']);
    expect((await sims.list({ status: 'inactive' })).map(({ uniqueName }) => uniqueName)).toEqual(['b']);
  });
});
