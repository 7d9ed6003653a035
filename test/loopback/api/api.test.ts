import { expect, test } from 'vitest';
import { z } from 'zod';
import { ipCommandSchema } from '../../../shared/ip-command.js';
import { authorization, client, device, get, isStatus, post, start } from '../support.js';

const FIELDS = [
  'account_sid',
  'date_created',
  'date_updated',
  'device_ip',
  'device_port',
  'direction',
  'payload',
  'payload_type',
  'sid',
  'sim_iccid',
  'sim_sid',
  'status',
  'url',
];

test('the official client creates a command and fetches its status', async () => {
  const loopback = await start();
  const { port, next } = await device();
  const { ipCommands } = client(loopback);
  const created = await ipCommands.create({ sim: 'gateway-1', payload: 'ping é', devicePort: port });
  expect(created).toMatchObject({
    accountSid: loopback.accountSid,
    simSid: loopback.sims[0]?.sid,
    simIccid: loopback.sims[0]?.iccid,
    status: 'queued',
    direction: 'to_sim',
    deviceIp: null,
    devicePort: port,
    payloadType: 'text',
    payload: 'ping é',
    url: `${loopback.url}/v1/IpCommands/${created.sid}`,
  });
  expect((await next()).bytes.toString()).toBe('ping é');
  await loopback.events.take(isStatus('sent'));
  const fetched = await ipCommands(created.sid).fetch();
  expect(fetched).toMatchObject({ sid: created.sid, status: 'sent', deviceIp: '127.0.0.2' });
  expect(fetched.dateCreated).toBeInstanceOf(Date);
});

test('a SIM can be addressed by its SID, and a binary payload is decoded before delivery', async () => {
  const loopback = await start();
  const { port, next } = await device();
  const bytes = Buffer.from(Array.from({ length: 256 }, (_, index) => index));
  await client(loopback).ipCommands.create({
    sim: loopback.sims[0]?.sid ?? '',
    payload: bytes.toString('base64'),
    payloadType: 'binary',
    devicePort: port,
  });
  expect((await next()).bytes).toEqual(bytes);
});

test('every resource has exactly the thirteen fields, with dates to the second', async () => {
  const loopback = await start();
  const { port, send, next } = await device();
  const { body: created } = await post(loopback, '/v1/IpCommands', {
    Sim: 'gateway-1',
    Payload: 'x',
    DevicePort: `${port}`,
  });
  await next();
  await send('reply', loopback.gateway);
  await loopback.events.take(isStatus('received'));
  const { body } = await get(loopback, '/v1/IpCommands');
  const { ip_commands: listed } = z.object({ ip_commands: z.array(z.unknown()) }).parse(body);
  expect(listed).toHaveLength(2);
  for (const resource of [created, ...listed]) {
    // Strict, as the schema itself accepts unknown members.
    const command = ipCommandSchema.strict().parse(resource);
    expect(Object.keys(command).sort()).toEqual(FIELDS);
    expect(command.date_created).toMatch(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$/);
    expect(command.date_updated).toMatch(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$/);
  }
});

test('lists are newest first, filtered and paged; the official client follows the URLs', async () => {
  const loopback = await start({ sims: [{ name: 'a' }, { name: 'b', state: 'detached' }] });
  const { ipCommands } = client(loopback);
  const made: string[] = [];
  for (let index = 0; index < 7; index += 1) {
    const { sid } = await ipCommands.create({ sim: index % 2 ? 'b' : 'a', payload: `${index}`, devicePort: 9 });
    made.unshift(sid);
    await loopback.events.take(isStatus(index % 2 ? 'failed' : 'sent'));
  }
  const { send } = await device();
  await send('up', loopback.gateway);
  await loopback.events.take(isStatus('received'));
  const payloads = async (filter: object) => (await ipCommands.list(filter)).map((command) => command.payload);
  const up = Buffer.from('up').toString('base64');
  expect(await payloads({})).toEqual([up, '6', '5', '4', '3', '2', '1', '0']);
  expect(await payloads({ pageSize: 3 })).toEqual([up, '6', '5', '4', '3', '2', '1', '0']);
  expect(await payloads({ limit: 2 })).toEqual([up, '6']);
  expect(await payloads({ sim: 'b' })).toEqual(['5', '3', '1']);
  expect(await payloads({ sim: loopback.sims[0]?.sid, pageSize: 2 })).toEqual([up, '6', '4', '2', '0']);
  expect(await payloads({ simIccid: loopback.sims[1]?.iccid })).toEqual(['5', '3', '1']);
  expect(await payloads({ status: 'failed' })).toEqual(['5', '3', '1']);
  expect(await payloads({ direction: 'from_sim' })).toEqual([up]);
  expect(await payloads({ direction: 'to_sim', status: 'sent', sim: 'a', pageSize: 1 })).toEqual(['6', '4', '2', '0']);
  expect(await payloads({ sim: 'nobody' })).toEqual([]);
});

test('pages are stable while commands arrive, and link back', async () => {
  const loopback = await start();
  const { ipCommands } = client(loopback);
  const create = (payload: string) => ipCommands.create({ sim: 'gateway-1', payload, devicePort: 9 });
  for (const payload of ['1', '2', '3', '4', '5']) await create(payload);
  const first = await ipCommands.page({ pageSize: 2 });
  for (const payload of ['6', '7']) await create(payload);
  const second = await first.nextPage();
  const third = await second?.nextPage();
  const back = await second?.previousPage();
  const payloads = (page: typeof second) => page?.instances.map((command) => command.payload);
  expect([payloads(first), payloads(second), payloads(third)]).toEqual([['5', '4'], ['3', '2'], ['1']]);
  expect(third?.nextPageUrl).toBeUndefined();
  expect(payloads(back)).toEqual(['5', '4']);
  expect(payloads(await back?.previousPage())).toEqual(['7', '6']);
});

test('meta has absolute URLs of the requested host, with the filters', async () => {
  const loopback = await start();
  const asked = `${loopback.url.replace('127.0.0.1', 'localhost')}`;
  await client(loopback).ipCommands.create({ sim: 'gateway-1', payload: '1', devicePort: 9 });
  const second = await client(loopback).ipCommands.create({ sim: 'gateway-1', payload: '2', devicePort: 9 });
  const { body } = await get(loopback, `${asked}/v1/IpCommands?PageSize=1&Sim=gateway-1`);
  const list = `${asked}/v1/IpCommands?Sim=gateway-1&PageSize=1`;
  expect(body).toMatchObject({
    ip_commands: [{ url: `${asked}/v1/IpCommands/${second.sid}` }],
    meta: {
      key: 'ip_commands',
      page: 0,
      page_size: 1,
      first_page_url: `${list}&Page=0`,
      next_page_url: `${list}&Page=1&PageToken=PA${second.sid}`,
      previous_page_url: null,
      url: `${list}&Page=0`,
    },
  });
});

const fine = { Sim: 'gateway-1', Payload: 'ping', DevicePort: '6969' };
const without = (name: keyof typeof fine) => ({ ...fine, [name]: undefined });

test.each<[string, Record<string, string | undefined>, number, number]>([
  ['no Sim', without('Sim'), 400, 20001],
  ['no Payload', without('Payload'), 400, 20001],
  ['no DevicePort', without('DevicePort'), 400, 20001],
  ['a name in another case', { ...without('Sim'), sim: 'gateway-1' }, 400, 20001],
  ['an unknown SIM', { ...fine, Sim: 'nobody' }, 404, 20404],
  ['port 0', { ...fine, DevicePort: '0' }, 400, 20001],
  ['port 65536', { ...fine, DevicePort: '65536' }, 400, 20001],
  ['a port that is no integer', { ...fine, DevicePort: '80.5' }, 400, 20001],
  ['1301 bytes of text', { ...fine, Payload: 'x'.repeat(1301) }, 400, 20001],
  ['1301 bytes in fewer characters', { ...fine, Payload: 'é'.repeat(651) }, 400, 20001],
  ['bad Base64', { ...fine, Payload: 'not base64', PayloadType: 'binary' }, 400, 20001],
  ['Base64 without its padding', { ...fine, Payload: 'QQ', PayloadType: 'binary' }, 400, 20001],
  ['an unknown PayloadType', { ...fine, PayloadType: 'hex' }, 400, 20001],
  ['a CallbackUrl that is none', { ...fine, CallbackUrl: 'ftp://example.com' }, 400, 20001],
  ['an unknown CallbackMethod', { ...fine, CallbackUrl: 'http://127.0.0.1/', CallbackMethod: 'PUT' }, 400, 20001],
  ['a body over the bound', { ...fine, Payload: 'x'.repeat(70_000) }, 413, 20001],
])('POST with %s is refused with the vendor’s error', async (_, form, status, code) => {
  const loopback = await start();
  const given = Object.entries(form).flatMap(([name, value]) => (value === undefined ? [] : [[name, value]]));
  expect(await post(loopback, '/v1/IpCommands', Object.fromEntries(given))).toEqual({
    status,
    body: { code, message: expect.any(String), more_info: `https://www.twilio.com/docs/errors/${code}`, status },
  });
  expect(loopback.counters.toSim).toBe(0);
});

test('1300 bytes are accepted, as text and as binary', async () => {
  const loopback = await start();
  const { port, next } = await device();
  const { ipCommands } = client(loopback);
  await ipCommands.create({ sim: 'gateway-1', payload: 'x'.repeat(1300), devicePort: port });
  expect((await next()).bytes).toHaveLength(1300);
  const payload = Buffer.alloc(1300, 0xff).toString('base64');
  await ipCommands.create({ sim: 'gateway-1', payload, payloadType: 'binary', devicePort: port });
  expect((await next()).bytes).toEqual(Buffer.alloc(1300, 0xff));
});

test('a chunked body of unknown length is read within the same bound', async () => {
  const loopback = await start();
  const { port, next } = await device();
  const chunked = (...chunks: string[]) =>
    fetch(`${loopback.url}/v1/IpCommands`, {
      method: 'POST',
      headers: { ...authorization(loopback), 'content-type': 'application/x-www-form-urlencoded' },
      body: ReadableStream.from(chunks.map((chunk) => Buffer.from(chunk))),
      duplex: 'half',
    });
  expect((await chunked('Sim=gateway-1&Pay', `load=a%20b&DevicePort=${port}`)).status).toBe(201);
  expect((await next()).bytes.toString()).toBe('a b');
  expect((await chunked('Payload=', 'x'.repeat(40_000), 'x'.repeat(40_000))).status).toBe(413);
});

test('a JSON body is refused, as its parameters are missing', async () => {
  const loopback = await start();
  const response = await fetch(`${loopback.url}/v1/IpCommands`, {
    method: 'POST',
    headers: { ...authorization(loopback), 'content-type': 'application/json' },
    body: JSON.stringify(fine),
  });
  expect(response.status).toBe(400);
});

test.each([
  ['PageSize=0', 400],
  ['PageSize=1000', 200],
  ['PageSize=x', 400],
  ['Page=-1', 400],
  ['PageToken=junk', 400],
  ['Status=done', 400],
  ['Direction=up', 400],
])('GET with %s answers %i', async (query, status) => {
  const loopback = await start();
  expect((await get(loopback, `/v1/IpCommands?${query}`)).status).toBe(status);
});

test('the official client gets 401, 404 and 400 as from the vendor', async () => {
  const loopback = await start();
  const { ipCommands } = client(loopback);
  const command = { sim: 'gateway-1', payload: 'x', devicePort: 9 };
  const other = { ...loopback, authToken: 'wrong' };
  await expect(client(other).ipCommands.create(command)).rejects.toMatchObject({ status: 401, code: 20003 });
  const stranger = { ...loopback, accountSid: `AC${'0'.repeat(32)}` };
  await expect(client(stranger).ipCommands.list()).rejects.toMatchObject({ status: 401, code: 20003 });
  await expect(ipCommands(`HG${'0'.repeat(32)}`).fetch()).rejects.toMatchObject({
    status: 404,
    code: 20404,
    moreInfo: 'https://www.twilio.com/docs/errors/20404',
  });
  await expect(ipCommands.create({ ...command, sim: 'nobody' })).rejects.toMatchObject({ status: 404, code: 20404 });
  await expect(ipCommands.create({ ...command, payload: '' })).rejects.toMatchObject({ status: 400, code: 20001 });
  await expect(ipCommands.list({ limit: 5000 })).rejects.toMatchObject({ status: 400, code: 20001 });
});

test('without credentials every path is 401, even an unknown one', async () => {
  const loopback = await start();
  for (const path of ['/v1/IpCommands', '/v1/Sims', '/nothing']) {
    const response = await fetch(`${loopback.url}${path}`);
    expect(response.status).toBe(401);
    expect(response.headers.get('www-authenticate')).toMatch(/^Basic /);
    expect(await response.json()).toMatchObject({ code: 20003, status: 401 });
  }
});

test('an unknown path is 404/20404, and a wrong method 405/20004', async () => {
  const loopback = await start();
  expect(await get(loopback, '/v1/Nothing')).toMatchObject({ status: 404, body: { code: 20404, status: 404 } });
  for (const [method, path] of [
    ['DELETE', '/v1/IpCommands'],
    ['POST', `/v1/IpCommands/HG${'0'.repeat(32)}`],
    ['PUT', '/v1/Fleets/fleet-1'],
  ]) {
    const response = await fetch(`${loopback.url}${path}`, { method: method ?? '', headers: authorization(loopback) });
    expect(response.status).toBe(405);
    expect(await response.json()).toMatchObject({ code: 20004, status: 405 });
  }
});

test('responses have the CORS headers of the vendor, and a preflight needs no credentials', async () => {
  const loopback = await start();
  const response = await fetch(`${loopback.url}/v1/IpCommands`, { headers: authorization(loopback) });
  expect(Object.fromEntries(response.headers)).toMatchObject({
    'access-control-allow-origin': '*',
    'access-control-allow-methods': expect.stringContaining('POST'),
    'access-control-allow-headers': 'Content-Type, Authorization',
    'access-control-allow-credentials': 'true',
    'access-control-expose-headers': expect.any(String),
  });
  const preflight = await fetch(`${loopback.url}/v1/IpCommands`, { method: 'OPTIONS' });
  expect(preflight.status).toBe(204);
});

test('the official client reads Sims, by SID and unique name, filtered and paged', async () => {
  const loopback = await start({ sims: [{ name: 'a' }, { name: 'b', fleet: 'north' }, { name: 'c' }] });
  const { sims } = client(loopback);
  const [a, b] = loopback.sims;
  expect(await sims('b').fetch()).toMatchObject({
    sid: b?.sid,
    uniqueName: 'b',
    iccid: b?.iccid,
    status: 'active',
    fleetSid: b?.fleetSid,
    url: `${loopback.url}/v1/Sims/${b?.sid}`,
  });
  expect((await sims(a?.sid ?? '').fetch()).uniqueName).toBe('a');
  await expect(sims('nobody').fetch()).rejects.toMatchObject({ status: 404, code: 20404 });
  const names = async (filter: object) => (await sims.list(filter)).map((sim) => sim.uniqueName);
  expect(await names({ pageSize: 1 })).toEqual(['a', 'b', 'c']);
  expect(await names({ fleet: 'north' })).toEqual(['b']);
  expect(await names({ fleet: a?.fleetSid })).toEqual(['a', 'c']);
  expect(await names({ fleet: 'south' })).toEqual([]);
  expect(await names({ iccid: b?.iccid })).toEqual(['b']);
  expect(await names({ status: 'inactive' })).toEqual([]);
});

test('the official client sets and clears a Fleet’s webhook', async () => {
  const loopback = await start();
  const { fleets } = client(loopback);
  expect(await fleets('fleet-1').fetch()).toMatchObject({ ipCommandsUrl: null, ipCommandsMethod: 'POST' });
  const url = 'http://127.0.0.1:9/hook?a=1#rc=0';
  expect(await fleets('fleet-1').update({ ipCommandsUrl: url, ipCommandsMethod: 'GET' })).toMatchObject({
    ipCommandsUrl: url,
    ipCommandsMethod: 'GET',
  });
  const sid = loopback.sims[0]?.fleetSid ?? '';
  expect(await fleets(sid).update({})).toMatchObject({ sid, ipCommandsUrl: url, ipCommandsMethod: 'GET' });
  expect(await fleets(sid).update({ ipCommandsUrl: '' })).toMatchObject({ ipCommandsUrl: null });
  await expect(fleets('nobody').fetch()).rejects.toMatchObject({ status: 404, code: 20404 });
  expect((await post(loopback, '/v1/Fleets/fleet-1', { IpCommandsUrl: 'no url' })).status).toBe(400);
});
