import { describe, expect, test } from 'vitest';
import {
  type AssumptionsInput,
  assumptionsHelp,
  assumptionsSchema,
  parseAssumptions,
  resolveAssumptions,
} from '../../loopback/vendor-assumptions.js';
import { client, device, get, isStatus, isType, post, receiver, start } from './support.js';

test('every assumption has a grade, and the help lists them all', () => {
  for (const [key, schema] of Object.entries(assumptionsSchema.shape)) {
    expect(schema.description).toMatch(/^\[[UI]\] /);
    expect(assumptionsHelp()).toContain(`  ${key}=`);
  }
});

test('assumptions are parsed from KEY=VALUE', () => {
  expect(parseAssumptions([])).toEqual(resolveAssumptions({}));
  expect(parseAssumptions(['sizeRule=base64', 'oversize=413/83400'])).toMatchObject({
    sizeRule: 'base64',
    oversize: '413/83400',
    sourcePort: 'other',
  });
});

test.each(['sizeRule', 'sizeRule=', 'sizeRule=both', 'nothing=1', '__proto__=1', 'oversize=200/20001', '=x'])(
  'the assumption %s is refused',
  (written) => {
    expect(() => parseAssumptions([written])).toThrow(expect.objectContaining({ code: 'bad-input' }));
  },
);

describe('the assumption', () => {
  const binary = { Sim: 'gateway-1', DevicePort: '9', PayloadType: 'binary' };
  const text = { Sim: 'gateway-1', DevicePort: '9' };

  test.each<[string, AssumptionsInput, Record<string, string>, number, number]>([
    ['oversize', { oversize: '413/83400' }, { ...text, Payload: 'x'.repeat(1301) }, 413, 83400],
    ['badBase64', { badBase64: '422/83400' }, { ...binary, Payload: '?' }, 422, 83400],
    ['badPort', { badPort: '400/21604' }, { ...text, Payload: 'x', DevicePort: '70000' }, 400, 21604],
    ['unknownSim', { unknownSim: '400/83005' }, { ...text, Payload: 'x', Sim: 'nobody' }, 400, 83005],
  ])('%s decides about the error', async (_, assumptions, form, status, code) => {
    const loopback = await start({ assumptions });
    expect(await post(loopback, '/v1/IpCommands', form)).toMatchObject({ status, body: { code, status } });
  });

  test('sizeRule decides how a payload is measured', async () => {
    const payload = (bytes: number) => ({ ...binary, Payload: Buffer.alloc(bytes).toString('base64') });
    const decoded = await start();
    expect((await post(decoded, '/v1/IpCommands', payload(1300))).status).toBe(201);
    expect((await post(decoded, '/v1/IpCommands', payload(1301))).status).toBe(400);
    const base64 = await start({ assumptions: { sizeRule: 'base64' } });
    expect((await post(base64, '/v1/IpCommands', payload(975))).status).toBe(201);
    expect((await post(base64, '/v1/IpCommands', payload(976))).status).toBe(400);
  });

  test('emptyPayload decides whether a payload may be empty', async () => {
    const refusing = await start();
    expect((await post(refusing, '/v1/IpCommands', { ...text, Payload: '' })).status).toBe(400);
    const accepting = await start({ assumptions: { emptyPayload: 'accept' } });
    const { port, next } = await device();
    const form = { ...text, Payload: '', DevicePort: `${port}` };
    expect((await post(accepting, '/v1/IpCommands', form)).status).toBe(201);
    expect((await next()).bytes).toHaveLength(0);
  });

  test('binaryDelivery decides whether a payload is decoded before delivery', async () => {
    const loopback = await start({ assumptions: { binaryDelivery: 'as-is' } });
    const { port, next } = await device();
    await post(loopback, '/v1/IpCommands', { ...binary, Payload: 'cGluZw==', DevicePort: `${port}` });
    expect((await next()).bytes.toString()).toBe('cGluZw==');
  });

  test('sourcePort decides the source port of to_sim datagrams', async () => {
    const loopback = await start({ assumptions: { sourcePort: 'gateway' } });
    const { port, next } = await device();
    await post(loopback, '/v1/IpCommands', { ...text, Payload: 'x', DevicePort: `${port}` });
    expect((await next()).from.port).toBe(loopback.gateway.port);
  });

  test('replyToSource decides whether datagrams to the source port are received', async () => {
    const loopback = await start({ assumptions: { replyToSource: 'receive' } });
    const { port, next, send } = await device();
    await post(loopback, '/v1/IpCommands', { ...text, Payload: 'x', DevicePort: `${port}` });
    await send('reply', (await next()).from);
    expect(await loopback.events.take(isStatus('received'))).toMatchObject({ command: { device_port: port } });
  });

  test('inactiveSim decides the code of a command to an inactive SIM', async () => {
    for (const inactiveSim of ['83705', '83401'] as const) {
      const loopback = await start({ assumptions: { inactiveSim }, sims: [{ name: 'gateway-1', state: 'inactive' }] });
      await post(loopback, '/v1/IpCommands', { ...text, Payload: 'x' });
      expect(await loopback.events.take(isStatus('failed'))).toMatchObject({ errorCode: Number(inactiveSim) });
    }
  });

  test('pageSizeOverMax decides about a PageSize above the maximum', async () => {
    const refusing = await start();
    expect((await get(refusing, '/v1/IpCommands?PageSize=1001')).status).toBe(400);
    const clamping = await start({ assumptions: { pageSizeOverMax: 'clamp' } });
    expect(await get(clamping, '/v1/IpCommands?PageSize=1001')).toMatchObject({
      status: 200,
      body: { meta: { page_size: 1000 } },
    });
  });

  test('callbackSidName is the name of the SID in a webhook', async () => {
    for (const callbackSidName of ['IpCommandSid', 'CommandSid'] as const) {
      const loopback = await start({ assumptions: { callbackSidName } });
      const hook = await receiver();
      await post(loopback, '/v1/IpCommands', { ...text, Payload: 'x', CallbackUrl: hook.url });
      const params = new URLSearchParams((await hook.requests.take()).body);
      expect(params.get(callbackSidName)).toMatch(/^HG/);
      expect(params.has('Sid')).toBe(false);
    }
  });

  test('callbackOnQueued decides whether a queued command calls back', async () => {
    const loopback = await start({ assumptions: { callbackOnQueued: 'yes' } });
    const hook = await receiver();
    await post(loopback, '/v1/IpCommands', { ...text, Payload: 'x', CallbackUrl: hook.url });
    const statuses = [await hook.requests.take(), await hook.requests.take()].map(({ body }) =>
      new URLSearchParams(body).get('Status'),
    );
    expect(statuses.sort()).toEqual(['queued', 'sent']);
  });

  test('callbackPayload decides whether a callback has the payload', async () => {
    for (const [callbackPayload, expected] of [
      ['omit', null],
      ['include', 'x'],
    ] as const) {
      const loopback = await start({ assumptions: { callbackPayload } });
      const hook = await receiver();
      await post(loopback, '/v1/IpCommands', { ...text, Payload: 'x', CallbackUrl: hook.url });
      expect(new URLSearchParams((await hook.requests.take()).body).get('Payload')).toBe(expected);
    }
  });

  test('without a test here does not exist', async () => {
    const tested = [
      'oversize badBase64 badPort unknownSim sizeRule emptyPayload binaryDelivery sourcePort replyToSource',
      'inactiveSim pageSizeOverMax callbackSidName callbackOnQueued callbackPayload',
    ];
    expect(Object.keys(assumptionsSchema.shape).sort()).toEqual(tested.join(' ').split(' ').sort());
  });
});

test('an unknown assumption prevents the start', async () => {
  const assumptions: object = { sizeRules: 'base64' };
  await expect(start({ assumptions })).rejects.toMatchObject({ code: 'bad-input' });
});

test('the defaults drop replies to the source port', async () => {
  const loopback = await start();
  const { port, next, send } = await device();
  await client(loopback).ipCommands.create({ sim: 'gateway-1', payload: 'x', devicePort: port });
  await send('reply', (await next()).from);
  await loopback.events.take(isType('dropped'));
});
