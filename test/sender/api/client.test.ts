import { describe, expect, it } from 'vitest';
import { IpCommandClient } from '../../../sender/index.js';
import { VERSION } from '../../../shared/version.js';
import {
  ACCOUNT,
  type Answer,
  collect,
  ipCommand,
  json,
  makeClient,
  rejection,
  SIM,
  startApi,
  vendorError,
} from '../support.js';

const created: Answer = (response) => json(response, 201, ipCommand());
const ping = { sim: 'gateway-1', payload: 'ping', devicePort: 6969 };
const SID = ipCommand().sid;

describe('IpCommandClient.create', () => {
  it('sends a text as the vendor’s own client does', async () => {
    const api = await startApi(created);
    const command = await makeClient(api.url).client.create({
      sim: 'gateway 1+ä',
      payload: '#1 set name=a&b=c "ü"',
      devicePort: 7000,
      callbackUrl: 'https://example.com/hook?a=1&b=2',
      callbackMethod: 'GET',
    });
    expect(command).toEqual(ipCommand());
    const [seen] = api.seen;
    expect(seen?.method).toBe('POST');
    expect(seen?.url).toBe('/v1/IpCommands');
    expect(seen?.body).toBe(
      'Sim=gateway+1%2B%C3%A4&Payload=%231+set+name%3Da%26b%3Dc+%22%C3%BC%22&DevicePort=7000&PayloadType=text' +
        '&CallbackUrl=https%3A%2F%2Fexample.com%2Fhook%3Fa%3D1%26b%3D2&CallbackMethod=GET',
    );
    expect(seen?.headers).toMatchObject({
      authorization: `Basic ${Buffer.from(`${ACCOUNT}:secret`).toString('base64')}`,
      accept: 'application/json',
      'content-type': 'application/x-www-form-urlencoded;charset=UTF-8',
      'user-agent': `supersim-agent/${VERSION}`,
    });
  });

  it('sends bytes as binary in Base64, and no callback URL by default', async () => {
    const api = await startApi(created);
    await makeClient(api.url).client.create({ ...ping, payload: Uint8Array.of(0, 0xfb, 0xff, 10) });
    expect(api.seen[0]?.body).toBe('Sim=gateway-1&Payload=APv%2FCg%3D%3D&DevicePort=6969&PayloadType=binary');
  });

  it('keeps the path of the base URL', async () => {
    const api = await startApi(created);
    await makeClient(`${api.url}/proxy/`).client.create(ping);
    expect(api.seen[0]?.url).toBe('/proxy/v1/IpCommands');
  });

  it('accepts members that the vendor added', async () => {
    const api = await startApi((response) => json(response, 201, { ...ipCommand(), error_code: 83401 }));
    expect(await makeClient(api.url).client.create(ping)).toMatchObject(ipCommand());
  });

  const ÄS = 'ä'.repeat(650);
  it.each([
    ['1300 bytes of text', ÄS, undefined],
    ['1 byte of text', 'x', undefined],
    ['975 raw bytes', new Uint8Array(975), undefined],
    ['1 raw byte', new Uint8Array(1), undefined],
    ['1300 raw bytes where the limit is raised', new Uint8Array(1300), 1300],
  ])('sends %s', async (_, payload, sizeLimit) => {
    const api = await startApi(created);
    await makeClient(api.url, { sizeLimit }).client.create({ ...ping, payload });
    expect(api.seen).toHaveLength(1);
  });

  it.each([
    ['1301 bytes of text in 651 characters', `${ÄS}x`, undefined, 'too-large'],
    ['1301 bytes of text, whatever the limit for bytes', `${ÄS}x`, 1300, 'too-large'],
    ['976 raw bytes', new Uint8Array(976), undefined, 'too-large'],
    ['1301 raw bytes where the limit is raised', new Uint8Array(1301), 1300, 'too-large'],
    ['11 raw bytes where the limit is lowered', new Uint8Array(11), 10, 'too-large'],
    ['an empty text', '', undefined, 'bad-input'],
    ['no bytes', new Uint8Array(0), undefined, 'bad-input'],
    ['half a character', 'a\ud800', undefined, 'bad-input'],
  ])('refuses %s before anything is sent', async (_, payload, sizeLimit, code) => {
    const api = await startApi(created);
    const { client } = makeClient(api.url, { sizeLimit });
    expect(await rejection(client.create({ ...ping, payload }))).toMatchObject({ code });
    expect(api.seen).toHaveLength(0);
  });

  it.each([1, 65_535])('takes device port %i', async (devicePort) => {
    const api = await startApi(created);
    await makeClient(api.url).client.create({ ...ping, devicePort });
    expect(api.seen[0]?.body).toContain(`DevicePort=${devicePort}&`);
  });

  it.each([
    ['device port 0', { devicePort: 0 }],
    ['device port 65536', { devicePort: 65_536 }],
    ['half a device port', { devicePort: 6969.5 }],
    ['no number of a port', { devicePort: Number.NaN }],
    ['an empty SIM', { sim: '' }],
    ['a callback that is no URL', { callbackUrl: 'example.com' }],
    ['a callback to a file', { callbackUrl: 'file:///etc/passwd' }],
  ])('refuses %s before anything is sent', async (_, wrong) => {
    const api = await startApi(created);
    const { client } = makeClient(api.url);
    expect(await rejection(client.create({ ...ping, ...wrong }))).toMatchObject({ code: 'bad-input' });
    expect(api.seen).toHaveLength(0);
  });
});

describe('the options of IpCommandClient', () => {
  const options = { accountSid: ACCOUNT, authToken: 'secret' };

  it.each([
    ['an empty account SID', { accountSid: '' }],
    ['a colon in the account SID', { accountSid: 'AC:1' }],
    ['a token with a line break', { authToken: 'secret\n' }],
    ['a base URL that is none', { baseUrl: 'supersim' }],
    ['a base URL of another kind', { baseUrl: 'ftp://127.0.0.1' }],
    ['credentials in the base URL', { baseUrl: 'http://u:p@127.0.0.1' }],
    ['a query in the base URL', { baseUrl: 'http://127.0.0.1/?a=1' }],
    ['a time-out of nothing', { timeout: '0s' as const }],
    ['a time-out of an hour', { timeout: '1h' as const }],
    ['a size limit of 0', { sizeLimit: 0 }],
    ['a size limit of 1301', { sizeLimit: 1301 }],
  ])('are refused with %s, without printing the token', (_, wrong) => {
    const make = () => new IpCommandClient({ ...options, ...wrong });
    expect(make).toThrow(expect.objectContaining({ code: 'bad-input' }));
    expect(make).not.toThrow(/secret/);
  });

  it('need no more than credentials', () => {
    expect(new IpCommandClient(options)).toBeInstanceOf(IpCommandClient);
  });
});

describe('IpCommandClient.fetch', () => {
  it('gets one IP Command', async () => {
    const api = await startApi((response) => json(response, 200, ipCommand()));
    expect(await makeClient(api.url).client.fetch(SID)).toEqual(ipCommand());
    expect(api.seen[0]).toMatchObject({ method: 'GET', url: `/v1/IpCommands/${SID}`, body: '' });
  });

  it.each(['HG1', `HS${'0'.repeat(32)}`, `${SID}/../../Fleets`, ''])('refuses the SID %j', async (sid) => {
    const api = await startApi(created);
    expect(await rejection(makeClient(api.url).client.fetch(sid))).toMatchObject({ code: 'bad-input' });
    expect(api.seen).toHaveLength(0);
  });
});

describe('IpCommandClient.list', () => {
  /** `total` IP Commands, in pages as long as the request says. */
  const pagesOf = (total: number): Answer => {
    return (response, { url, headers }) => {
      const asked = new URL(url ?? '', `http://${headers.host}`);
      const size = Number(asked.searchParams.get('PageSize'));
      const page = Number(asked.searchParams.get('Page') ?? 0);
      const numbers = Array.from({ length: total }, (_, i) => i + 1).slice(page * size, (page + 1) * size);
      asked.searchParams.set('Page', String(page + 1));
      const next_page_url = (page + 1) * size < total ? asked.href : null;
      json(response, 200, { ip_commands: numbers.map((n) => ipCommand(n)), meta: { next_page_url, page } });
    };
  };

  it('reads all pages, and sends filters and credentials with each', async () => {
    const api = await startApi(pagesOf(7));
    const filters = { sim: SIM, simIccid: '8988', status: 'received', direction: 'from_sim', pageSize: 3 } as const;
    const commands = await collect(makeClient(api.url).client.list(filters));
    expect(commands).toEqual([1, 2, 3, 4, 5, 6, 7].map((n) => ipCommand(n)));
    const query = `Sim=${SIM}&SimIccid=8988&Status=received&Direction=from_sim&PageSize=3`;
    expect(api.seen.map(({ url }) => url)).toEqual([
      `/v1/IpCommands?${query}`,
      `/v1/IpCommands?${query}&Page=1`,
      `/v1/IpCommands?${query}&Page=2`,
    ]);
    expect(new Set(api.seen.map(({ headers }) => headers.authorization))).toEqual(
      new Set([`Basic ${Buffer.from(`${ACCOUNT}:secret`).toString('base64')}`]),
    );
  });

  it.each([
    [{ limit: 1 }, 1, ['PageSize=1']],
    [{ limit: 3, pageSize: 3 }, 3, ['PageSize=3']],
    [{ limit: 4, pageSize: 3 }, 4, ['PageSize=3', 'PageSize=3&Page=1']],
    [{ limit: 1000 }, 120, ['PageSize=100', 'PageSize=100&Page=1']],
    [{}, 120, ['PageSize=100', 'PageSize=100&Page=1']],
  ])('reads no more pages than %j needs', async (params, count, queries) => {
    const api = await startApi(pagesOf(120));
    expect(await collect(makeClient(api.url).client.list(params))).toHaveLength(count);
    expect(api.seen.map(({ url }) => url?.split('?')[1])).toEqual(queries);
  });

  it('reads a page only when it is needed', async () => {
    const api = await startApi(pagesOf(9));
    for await (const command of makeClient(api.url).client.list({ pageSize: 3 })) {
      if (command.sid === ipCommand(3).sid) break;
    }
    expect(api.seen).toHaveLength(1);
  });

  it('can be empty, and its next page can be missing', async () => {
    const api = await startApi((response) => json(response, 200, { ip_commands: [], meta: {} }));
    expect(await collect(makeClient(api.url).client.list())).toEqual([]);
  });

  it('resolves the URL of a next page without a host', async () => {
    const api = await startApi((response, _seen, count) => {
      const next_page_url = count === 1 ? '/v1/IpCommands?Page=1' : null;
      json(response, 200, { ip_commands: [ipCommand(count)], meta: { next_page_url } });
    });
    expect(await collect(makeClient(api.url).client.list())).toHaveLength(2);
  });

  it.each([
    ['another port', async () => (await startApi(created)).url],
    ['another host', async (own: string) => own.replace('127.0.0.1', 'localhost')],
    ['another scheme', async (own: string) => own.replace('http:', 'https:')],
    ['another kind of URL', async () => 'data:application/json,{}'],
    ['no URL', async () => 'http://['],
  ])('sends no credentials to a next page at %s', async (_, elsewhere) => {
    const api = await startApi((response, { headers }) => {
      void elsewhere(`http://${headers.host}`).then((next_page_url) =>
        json(response, 200, { ip_commands: [ipCommand()], meta: { next_page_url } }),
      );
    });
    const got: string[] = [];
    const reading = async () => {
      for await (const { sid } of makeClient(api.url).client.list()) got.push(sid);
    };
    expect(await rejection(reading())).toMatchObject({ code: 'api-invalid-response' });
    expect(got).toEqual([SID]);
    expect(api.seen).toHaveLength(1);
  });

  it('stops after the maximum of pages', async () => {
    let pages = 0;
    const circle = async (url: URL) => {
      pages++;
      return Response.json({ ip_commands: [], meta: { next_page_url: url.href } });
    };
    const { client } = makeClient('http://127.0.0.1', { io: { fetch: circle } });
    expect(await rejection(collect(client.list()))).toMatchObject({ code: 'api-invalid-response' });
    expect(pages).toBe(10_000);
  });

  it.each([{ limit: 0 }, { limit: 1.5 }, { pageSize: 0 }, { pageSize: 1001 }, { sim: '' }])(
    'refuses %j',
    async (params) => {
      const api = await startApi(pagesOf(1));
      expect(await rejection(collect(makeClient(api.url).client.list(params)))).toMatchObject({ code: 'bad-input' });
      expect(api.seen).toHaveLength(0);
    },
  );
});

describe('IpCommandClient.sim', () => {
  const simOf = (number: number, members: object = {}) => ({
    sid: `HS${String(number).padStart(32, '0')}`,
    unique_name: `gateway-${number}`,
    iccid: String(8988307000000000000n + BigInt(number)),
    status: 'active',
    fleet_sid: null,
    ...members,
  });
  const all = Array.from({ length: 5 }, (_, index) => simOf(index + 1));

  /** Two SIMs on a page; single ones by SID, and by unique name where `byName`. */
  const simsApi =
    (byName: boolean): Answer =>
    (response, { url = '' }) => {
      const { pathname, searchParams } = new URL(url, 'http://127.0.0.1');
      const iccid = searchParams.get('Iccid');
      if (iccid !== null) {
        return json(response, 200, { sims: all.filter((sim) => sim.iccid === iccid), meta: { next_page_url: null } });
      }
      if (pathname === '/v1/Sims') {
        const page = Number(searchParams.get('Page'));
        const next_page_url = page < 2 ? `/v1/Sims?PageSize=1000&Page=${page + 1}` : null;
        return json(response, 200, { sims: all.slice(2 * page, 2 * page + 2), meta: { next_page_url } });
      }
      const name = decodeURIComponent(pathname.replace('/v1/Sims/', ''));
      const found = all.find(({ sid, unique_name }) => sid === name || (byName && unique_name === name));
      return found === undefined ? json(response, 404, vendorError(404, 20404)) : json(response, 200, found);
    };

  it.each([
    ['SID', true, all[3]?.sid, ['/v1/Sims/HS00000000000000000000000000000004']],
    ['ICCID', true, all[3]?.iccid, ['/v1/Sims?Iccid=8988307000000000004']],
    ['unique name', true, 'gateway-4', ['/v1/Sims/gateway-4']],
    [
      'unique name where the API knows only SIDs',
      false,
      'gateway-4',
      ['/v1/Sims/gateway-4', '/v1/Sims?PageSize=1000', '/v1/Sims?PageSize=1000&Page=1'],
    ],
  ])('finds a SIM by its %s', async (_, byName, name, urls) => {
    const api = await startApi(simsApi(byName));
    expect(await makeClient(api.url).client.sim(name ?? '')).toEqual(all[3]);
    expect(api.seen.map(({ url }) => url)).toEqual(urls);
  });

  it.each([
    'HS99999999999999999999999999999999',
    '8988307000000000009',
    'gateway-9',
    'Gateway-4',
    '.',
    '..',
    'a/../..',
  ])('finds none that is called %j', async (name) => {
    const api = await startApi(simsApi(true));
    expect(await makeClient(api.url).client.sim(name)).toBeUndefined();
    expect(api.seen.every(({ url }) => url?.startsWith('/v1/Sims'))).toBe(true);
  });

  it('takes no SIM for another, whatever the API answers', async () => {
    const answer: Answer = (response, { url = '' }) =>
      json(response, 200, url.includes('?') ? { sims: [all[0]], meta: {} } : all[0]);
    const api = await startApi(answer);
    for (const name of [all[1]?.sid, all[1]?.iccid, all[1]?.unique_name]) {
      expect(await makeClient(api.url).client.sim(name ?? '')).toBeUndefined();
    }
  });

  it('rejects where the API refuses, and asks nothing about a name that is none', async () => {
    const api = await startApi((response) => json(response, 403, vendorError(403, 20003)));
    for (const name of [SIM, 'gateway-1', '8988307000000000004']) {
      expect(await rejection(makeClient(api.url).client.sim(name))).toMatchObject({ code: 'api-error', status: 403 });
    }
    expect(api.seen).toHaveLength(3);
    for (const name of ['', '\ud800']) {
      expect(await rejection(makeClient(api.url).client.sim(name))).toMatchObject({ code: 'bad-input' });
    }
    expect(api.seen).toHaveLength(3);
  });
});
