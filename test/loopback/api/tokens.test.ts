import { setTimeout as delay } from 'node:timers/promises';
import { expect, test } from 'vitest';
import * as z from 'zod';
import type { Loopback, LoopbackOptions } from '../../../loopback/index.js';
import { start } from '../support.js';

type Known = Pick<Loopback, 'url' | 'clientId' | 'clientSecret'>;

async function ask({ url, clientId, clientSecret }: Known, form: Record<string, string> = {}) {
  const body = new URLSearchParams({
    grant_type: 'client_credentials',
    client_id: clientId,
    client_secret: clientSecret,
    ...form,
  });
  const response = await fetch(`${url}/api-services/v1/auth/token`, { method: 'POST', body });
  const answer: unknown = await response.json();
  return { status: response.status, answer };
}

const tokenSchema = z.object({ access_token: z.string(), expires_in: z.number(), token_type: z.literal('Bearer') });

async function signIn(options?: LoopbackOptions) {
  const loopback = await start(options);
  const token = tokenSchema.parse((await ask(loopback)).answer);
  const list = async (query = '') => {
    const headers = { authorization: `Bearer ${token.access_token}` };
    const response = await fetch(`${loopback.url}/v1/IpCommands${query}`, { headers });
    return { status: response.status, body: z.looseObject({}).parse(await response.json()) };
  };
  return { loopback, token, list };
}

test('a token authenticates until it expires', async () => {
  const { token, list } = await signIn({ tokenLife: '1s' });
  expect(token.expires_in).toBe(1);
  expect(await list()).toMatchObject({ status: 200, body: { ip_commands: [] } });
  await delay(1050);
  expect(await list()).toMatchObject({ status: 401, body: { code: 20003, status: 401 } });
});

test('tokens can be revoked by the library and over HTTP', async () => {
  const { loopback, list } = await signIn();
  loopback.revokeTokens();
  expect(await list()).toMatchObject({ status: 401 });
  const again = tokenSchema.parse((await ask(loopback)).answer);
  const headers = { authorization: `Bearer ${again.access_token}` };
  expect((await fetch(`${loopback.url}/loopback/tokens`, { method: 'DELETE', headers })).status).toBe(204);
  expect((await fetch(`${loopback.url}/v1/Sims`, { headers })).status).toBe(401);
});

test('the client secret can be replaced', async () => {
  const { loopback, list } = await signIn();
  expect(loopback.counters.tokens).toBe(1);
  loopback.revokeTokens('another');
  expect(await list()).toMatchObject({ status: 401 });
  expect(await ask(loopback)).toMatchObject({ status: 401 });
  expect(await ask(loopback, { client_secret: 'another' })).toMatchObject({ status: 200 });
  loopback.revokeTokens();
  expect(await ask(loopback, { client_secret: 'another' })).toMatchObject({ status: 200 });
  expect(loopback.counters.tokens).toBe(3);
});

test.each([
  ['another secret', { client_secret: 'wrong' }, 401, 'invalid_client'],
  ['another client', { client_id: 'wrong' }, 401, 'invalid_client'],
  ['another grant', { grant_type: 'password' }, 400, 'unsupported_grant_type'],
])('no token is issued for %s', async (_, form, status, error) => {
  const { loopback } = await signIn();
  expect(await ask(loopback, form)).toMatchObject({ status, answer: { error, error_description: expect.any(String) } });
});

test('a client with a token gets KORE’s errors and pages of at most 100', async () => {
  const { list } = await signIn();
  expect(await list('/HG1')).toMatchObject({
    status: 404,
    body: { code: 20404, more_info: 'https://docs.korewireless.com/errors/20404' },
  });
  expect((await list('?PageSize=100')).status).toBe(200);
  expect(await list('?PageSize=101')).toMatchObject({ status: 400, body: { code: 20001 } });
});
