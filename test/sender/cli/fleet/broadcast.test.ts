import { once } from 'node:events';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { setTimeout as sleep } from 'node:timers/promises';
import { parse } from 'csv-parse/sync';
import { afterEach, beforeEach, describe, expect, it, onTestFinished, test, vi } from 'vitest';
import { createBroadcastState } from '../../../../sender/broadcast/store/state.js';
import { EXIT, reportError } from '../../../../sender/cli/exit.js';
import { runBroadcastCli } from '../../../../sender/cli/fleet/broadcast.js';
import { createProgress, formatProgress } from '../../../../sender/cli/fleet/progress.js';
import { formatMessage, parseMessage } from '../../../../shared/coap/message.js';
import { OPTION, uintOption } from '../../../../shared/coap/options.js';
import type { IpCommand } from '../../../../shared/ip-command.js';
import { temporaryFolder, writeFile } from '../../../support/files.js';
import { type Answer, ipCommand, json, Sink, startApi, vendorError } from '../../support.js';

const simSid = (name: string) => `HS${Buffer.from(name).toString('hex').padEnd(32, '0')}`;

/** CoAP's code, and the result as JSON; undefined: no answer. */
type Device = (sim: string, count: number) => readonly [code: string, result: string] | undefined;

const yes: Device = () => ['2.04', '"yes"'];

/** An API with a device behind each SIM that answers at once. */
function apiOf(device: Device, listFleet?: Answer): Answer {
  const list: IpCommand[] = [];
  return (response, seen, count) => {
    const { method, url = '', body } = seen;
    const { pathname, searchParams } = new URL(url, 'http://127.0.0.1');
    const meta = { next_page_url: null };
    if (pathname === '/v1/Sims' && listFleet !== undefined) return listFleet(response, seen, count);
    if (pathname === '/v1/Sims') {
      const sims = ['a', 'b', 'c'].map((name) => ({ sid: simSid(name), status: 'active' }));
      if (searchParams.get('Fleet') === 'none') return json(response, 404, vendorError(404, 20404));
      return json(response, 200, { sims, meta });
    }
    if (method === 'GET') {
      const found = list.filter(({ direction }) => direction === searchParams.get('Direction')).toReversed();
      const [page, size] = [Number(searchParams.get('Page')), Number(searchParams.get('PageSize'))];
      searchParams.set('Page', `${page + 1}`);
      const end = (page + 1) * size;
      const next = end < found.length ? `${pathname}?${searchParams}` : null;
      return json(response, 200, { ip_commands: found.slice(page * size, end), meta: { next_page_url: next } });
    }
    const form = new URLSearchParams(body);
    const sim = form.get('Sim') ?? '';
    const members = { sim_sid: sim.startsWith('HS') ? sim : simSid(sim) };
    const { messageId, token } = parseMessage(Buffer.from(form.get('Payload') ?? '', 'base64'));
    const [code, result] = device(sim, count) ?? [];
    if (code === '401') return json(response, 401, vendorError(401, 20003));
    if (code === '404') return json(response, 404, vendorError(404, 20404));
    if (code !== undefined && result !== undefined) {
      const options = code.startsWith('2.') ? [uintOption(OPTION.contentFormat, 50)] : [];
      const payload = formatMessage({ type: 'ACK', code, messageId, token, options, payload: Buffer.from(result) });
      const from = { direction: 'from_sim', status: 'received', payload_type: 'binary' } as const;
      list.push(ipCommand(1000 + count, { ...members, ...from, payload: payload.toString('base64') }));
    }
    return json(response, 201, ipCommand(count, members));
  };
}

interface Run {
  readonly device?: Device;
  readonly stdin?: string;
  readonly isTTY?: boolean;
  readonly stopWhen?: (stdout: string) => boolean;
  /** Answers for the list of SIMs. */
  readonly listFleet?: Answer;
  /** Of the waits between retransmissions. */
  readonly timeScale?: number;
}

/** A folder, and `supersim broadcast` run in it. */
async function setUp(list = 'sim\na\nb\nc\n') {
  const folder = temporaryFolder();
  const state = join(folder, 'broadcast.db');
  const file = writeFile(folder, 'sims.csv', list);
  async function run(
    args: object,
    { device = yes, stdin = '', isTTY = false, stopWhen, listFleet, timeScale = 0.01 }: Run = {},
  ) {
    const api = await startApi(apiOf(device, listFleet));
    const env = { SUPERSIM_ACCOUNT_SID: 'AC1', SUPERSIM_AUTH_TOKEN: 'secret', SUPERSIM_API_URL: api.url };
    const [stdout, stderr] = [new Sink({ isTTY }), new Sink({ isTTY })];
    const io = { env, stdin: Readable.from([Buffer.from(stdin)]), stdout, stderr, sleep: (ms: number) => sleep(ms) };
    const abort = new AbortController();
    const watch = setInterval(() => stopWhen?.(stdout.text) === true && abort.abort(), 5);
    onTestFinished(() => clearInterval(watch));
    const code = await runBroadcastCli({ interval: '100ms', ...args }, io, abort.signal, { timeScale }).catch(
      (error: unknown) => reportError(error, stderr),
    );
    clearInterval(watch);
    const posted = api.seen.filter(({ method }) => method === 'POST').map(({ body }) => new URLSearchParams(body));
    return { code, stdout: stdout.text, stderr: stderr.text, posted };
  }
  return { folder, state, file, run };
}

const rowsOf = (csv: string): unknown[] => parse(csv, { columns: true });
const formatJson = (text: string): unknown[] =>
  text
    .trimEnd()
    .split('\n')
    .map((line) => JSON.parse(line));

describe('supersim broadcast', () => {
  it('asks each SIM of a list, prints CSV, and exits with 0 when all are done', async () => {
    const { file, state, run } = await setUp();
    const { code, stdout, stderr, posted } = await run({ name: 'ping', file, state });
    expect(code).toBe(EXIT.ok);
    expect(posted.map((form) => form.get('Sim')).sort()).toEqual(['a', 'b', 'c']);
    expect(stdout.split('\n')[0]).toBe('sim,outcome,code,vendor_code,message,result,attempts,authentic');
    expect(rowsOf(stdout)).toHaveLength(3);
    expect(rowsOf(stdout)).toContainEqual({
      ...{ sim: 'b', outcome: 'done', result: '"yes"', attempts: '1' },
      ...{ code: '', vendor_code: '', message: '', authentic: 'false' },
    });
    expect(stderr).toContain(`3 SIMs, 3 to ask; the outcomes are in ${state}\n`);
    expect(stderr).toMatch(/^3 done, 0 failed, 0 refused, 0 interrupted, 0 not-sent, 0 no-answer$/m);
    expect(stderr).not.toContain('--resume');
  });

  it('prints JSON, a line for each SIM, safe for a terminal', async () => {
    const { file, state, run } = await setUp('a\nb\n');
    const device: Device = (sim) =>
      sim === 'a' ? ['2.04', '{"t":-5,"note":"\\u001b[2J"}'] : ['4.04', 'unknown-command: \u001b[2J'];
    const { code, stdout } = await run({ name: 'ping', file, state, json: true }, { device });
    expect(code).toBe(10);
    expect(stdout).not.toContain('\u001b');
    expect(formatJson(stdout)).toHaveLength(2);
    expect(formatJson(stdout)).toContainEqual(
      expect.objectContaining({ sim: 'a', outcome: 'done', code: null, result: { t: -5, note: '\u001b[2J' } }),
    );
    expect(formatJson(stdout)).toContainEqual(
      expect.objectContaining({ sim: 'b', outcome: 'refused', code: 'unknown-command', attempts: 1 }),
    );
  });

  it('writes CSV without formulas for a spreadsheet, and with the same values for a program', async () => {
    const { file, state, run } = await setUp('a\nb\n"c ""d"", e"\n');
    const device: Device = (sim) =>
      sim === 'a' ? ['5.00', '=cmd|calc'] : ['2.04', sim === 'b' ? '-5' : '"x,\\"y\\"\\nz"'];
    const { stdout } = await run({ name: 'ping', file, state }, { device });
    const rows = rowsOf(stdout);
    expect(rows).toContainEqual(expect.objectContaining({ sim: 'a', outcome: 'failed', message: "'=cmd|calc" }));
    expect(rows).toContainEqual(expect.objectContaining({ sim: 'b', result: '-5' }));
    expect(rows).toContainEqual(expect.objectContaining({ sim: 'c "d", e', result: '"x,\\"y\\"\\nz"' }));
  });

  it('reads the SIMs from standard input or from a Fleet', async () => {
    const { state, run, folder } = await setUp();
    const read = await run({ name: 'ping', file: '-', state }, { stdin: 'x\ny\n' });
    expect(read.posted.map((form) => form.get('Sim')).sort()).toEqual(['x', 'y']);
    const listed = await run({ name: 'ping', fleet: 'north', state: join(folder, 'other.db') });
    expect(listed.code).toBe(0);
    expect(listed.posted.map((form) => form.get('Sim')).sort()).toEqual(['a', 'b', 'c'].map(simSid));
  });

  it('asks a SIM once that is listed twice, and says so', async () => {
    const { file, state, run } = await setUp('a\nb\na\na\n');
    const { posted, stderr } = await run({ name: 'ping', file, state });
    expect(posted).toHaveLength(2);
    expect(stderr).toContain('skipped 2 duplicate SIMs');
  });

  it('sends the parameters to the given port', async () => {
    const { file, state, run } = await setUp('a\n');
    const { posted } = await run({ name: 'relay.set', words: ['channel=1', 'on'], port: 7000, file, state });
    expect(posted[0]?.get('DevicePort')).toBe('7000');
    expect(Buffer.from(posted[0]?.get('Payload') ?? '', 'base64').toString('latin1')).toContain('on channel=1');
  });

  it.each<[string, object, number]>([
    ['no name', { file: 'FILE' }, EXIT.usage],
    ['no SIMs', { name: 'ping' }, EXIT.usage],
    ['a list that is not there', { name: 'ping', file: '/no/such.csv' }, EXIT.usage],
    ['an empty list', { name: 'ping', file: '/dev/null' }, EXIT.usage],
    ['a Fleet that is not there', { name: 'ping', fleet: 'none' }, EXIT.refused],
    ['a command that cannot be written', { name: 'not a name', file: 'FILE' }, EXIT.usage],
    ['parameters in two ways', { name: 'ping', words: ['a'], params: '{}', file: 'FILE' }, EXIT.usage],
    ['a deadline in text', { name: 'ping', format: 'text', deadline: '5min', file: 'FILE' }, EXIT.usage],
    ['a canary of none', { name: 'ping', canary: '0%', file: 'FILE' }, EXIT.usage],
    ['a canary that is no percentage', { name: 'ping', canary: '5', file: 'FILE' }, EXIT.usage],
    ['a concurrency of none', { name: 'ping', concurrency: 0, file: 'FILE' }, EXIT.usage],
    ['a file to go on with that is not there', { resume: '/no/such.db' }, EXIT.usage],
  ])('sends nothing with %s', async (_, args, exit) => {
    const { file, state, run, folder } = await setUp();
    const given = 'file' in args && args.file === 'FILE' ? { ...args, file } : args;
    const { code, stdout, posted } = await run('resume' in args ? args : { state, ...given });
    expect([code, stdout, posted]).toEqual([exit, '', []]);
    // A concurrency is looked at when the file is there, and can be given again with it.
    if (!('concurrency' in args)) expect(readdirSync(folder)).toEqual(['sims.csv']);
  });

  it('does not overwrite a file', async () => {
    const { file, state, run } = await setUp();
    await run({ name: 'ping', file, state });
    const before = readFileSync(state);
    const { code, stderr } = await run({ name: 'ping', file, state });
    expect(code).toBe(EXIT.usage);
    expect(stderr).toContain(`--resume ${state}`);
    expect(readFileSync(state).equals(before)).toBe(true);
  });

  it('exits with 130 after Ctrl-C, and resumes with the SIMs that are left; earlier results are printed again', async () => {
    const { file, state, run } = await setUp('a\nb\nc\nd\n');
    const device: Device = (sim) => (sim === 'd' ? undefined : ['2.04', '1']);
    const stopped = await run(
      { name: 'ping', file, state },
      { device, stopWhen: (stdout) => stdout.split('\n').length > 4 },
    );
    expect(stopped.code).toBe(EXIT.interrupted);
    expect(rowsOf(stopped.stdout)).toHaveLength(3);
    expect(stopped.stderr).toContain(`1 SIMs are left; resume with: supersim broadcast --resume ${state}\n`);
    const again = await run({ resume: state });
    expect(again.code).toBe(EXIT.ok);
    // A ping, and the command.
    expect(again.posted.map((form) => form.get('Sim'))).toEqual(['d', 'd']);
    expect(rowsOf(again.stdout)).toHaveLength(4);
    expect(again.stderr).toContain('4 SIMs, 1 to ask');
    const complete = await run({ resume: state });
    expect([complete.code, complete.posted, rowsOf(complete.stdout).length]).toEqual([EXIT.ok, [], 4]);
  });

  it('leaves no file after Ctrl-C while SIMs are read', async () => {
    const folder = temporaryFolder();
    const state = join(folder, 'broadcast.db');
    const api = await startApi(apiOf(yes));
    const env = { SUPERSIM_ACCOUNT_SID: 'AC1', SUPERSIM_AUTH_TOKEN: 'secret', SUPERSIM_API_URL: api.url };
    const abort = new AbortController();
    const stdin = Readable.from(
      (async function* () {
        for (let number = 0; ; number++) {
          if (number === 5) abort.abort();
          yield Buffer.from(`sim-${number}\n`);
          await sleep(1);
        }
      })(),
    );
    const io = { env, stdin, stdout: new Sink(), stderr: new Sink(), sleep: (ms: number) => sleep(ms) };
    expect(await runBroadcastCli({ name: 'ping', file: '-', state }, io, abort.signal)).toBe(EXIT.interrupted);
    expect(readdirSync(folder)).toEqual([]);
  });

  it('stops with exit code 3 when its credentials are refused, without an outcome for any SIM', async () => {
    const { file, state, run } = await setUp('a\nb\nc\n');
    const device: Device = (_, count) => (count > 5 ? ['401', ''] : ['2.04', '1']);
    const { code, stderr, stdout } = await run({ name: 'ping', file, state, concurrency: 1 }, { device });
    expect(code).toBe(EXIT.refused);
    expect(stderr).toMatch(/^error api-error: HTTP 401, code 20003/m);
    expect(stderr).toContain(`--resume ${state}`);
    expect(jsonOutcomes(stdout)).toEqual(new Set(['done']));
    expect((await run({ resume: state })).code).toBe(EXIT.ok);
  });

  it('stops with exit code 10 when its canary fails, and resumes without it', async () => {
    const list = Array.from({ length: 20 }, (_, index) => `sim-${index}\n`).join('');
    const { file, state, run } = await setUp(list);
    const bad: Device = () => ['5.00', 'handler-failed: no'];
    const stopped = await run({ name: 'ping', file, state, canary: '10%' }, { device: bad });
    expect(stopped.code).toBe(10);
    expect(stopped.stderr).toMatch(/^error canary-failed/m);
    expect(stopped.posted.length).toBeLessThanOrEqual(2);
    expect((await run({ resume: state })).posted).toEqual([]);
    const rest = await run({ resume: state, canary: false });
    expect(rest.code).toBe(10);
    expect(rowsOf(rest.stdout)).toHaveLength(20);
  });

  it('continues while no more of the canary fail than --abort-above allows', async () => {
    const { file, state, run } = await setUp('a\nb\nc\nd\n');
    const device: Device = (sim) => (sim === 'a' ? ['5.00', 'handler-failed: no'] : ['2.04', '1']);
    const { posted } = await run({ name: 'ping', file, state, canary: '50%', abortAbove: '50%' }, { device });
    expect(posted).toHaveLength(4);
  });

  it('prints results and progress on separate lines of a terminal', async () => {
    const { file, state, run } = await setUp();
    const { stderr } = await run({ name: 'ping', file, state }, { isTTY: true });
    expect(stderr).toContain('\r\u001b[K[....................] 0 of 3');
    expect(stderr).toContain('\r\u001b[K[####################] 3 of 3, 3 done, 0 failed, 0 no answer');
    // Once before each result.
    expect(stderr.split('\r\u001b[K').filter((text) => text === '').length).toBeGreaterThanOrEqual(2);
  });
});

const jsonOutcomes = (csv: string) =>
  new Set(rowsOf(csv).map((row) => (typeof row === 'object' && row !== null && 'outcome' in row ? row.outcome : '')));

describe('a broadcast to a Fleet of several pages', () => {
  /** Pages of one SIM each. */
  const pagesOf =
    (names: readonly string[]): Answer =>
    (response, { url = '' }) => {
      const page = Number(new URL(url, 'http://127.0.0.1').searchParams.get('Page') ?? 0);
      const next = page + 1 < names.length ? `/v1/Sims?Fleet=north&PageSize=1000&Page=${page + 1}` : null;
      const sims = names.slice(page, page + 1).map((name) => ({ sid: simSid(name), status: 'active' }));
      json(response, 200, { sims, meta: { next_page_url: next } });
    };
  const ofOnePage = Array.from({ length: 500 }, (_, index) => `sim-${index}`);

  /** A page of many SIMs, and a second one with another. */
  const twoPages =
    (second: Answer): Answer =>
    (response, request, count) => {
      const { searchParams } = new URL(request.url ?? '', 'http://127.0.0.1');
      if (searchParams.get('Page') === '1') return second(response, request, count);
      const sims = ofOnePage.map((name) => ({ sid: simSid(name), status: 'active' }));
      return json(response, 200, { sims, meta: { next_page_url: '/v1/Sims?Fleet=north&PageSize=1000&Page=1' } });
    };
  const lastSim: Answer = (response) =>
    json(response, 200, { sims: [{ sid: simSid('last'), status: 'active' }], meta: { next_page_url: null } });

  it('asks the SIMs of the first page while the second is read', async () => {
    const { run, state } = await setUp();
    const asked = new AbortController();
    const device: Device = () => {
      asked.abort();
      return ['2.04', '1'];
    };
    const listFleet = twoPages(async (...args) => {
      if (!asked.signal.aborted) await once(asked.signal, 'abort');
      return lastSim(...args);
    });
    const { code, posted, stderr } = await run(
      { name: 'ping', fleet: 'north', state },
      { device, listFleet, timeScale: 1 },
    );
    expect([code, new Set(posted.map((form) => form.get('Sim'))).size]).toEqual([EXIT.ok, 501]);
    expect(stderr).toContain(`the Fleet is being read: 500 SIMs so far, 500 to ask; the outcomes are in ${state}\n`);
  });

  it('is resumed where it was interrupted while the second was read, and each SIM is asked once', async () => {
    const { run, state } = await setUp();
    const never: Answer = () => undefined;
    const stopped = await run(
      { name: 'ping', fleet: 'north', state },
      { listFleet: twoPages(never), timeScale: 1, stopWhen: (stdout) => stdout.includes(simSid('sim-7')) },
    );
    expect(stopped.code).toBe(EXIT.interrupted);
    expect(stopped.stderr).toMatch(
      /^\d+ SIMs are left, and the Fleet was not read to its end; resume with: supersim broadcast --resume /m,
    );
    const ended = ofOnePage.map(simSid).filter((sid) => stopped.stdout.includes(sid));
    const resumed = await run({ resume: state }, { listFleet: twoPages(lastSim), timeScale: 1 });
    expect([resumed.code, rowsOf(resumed.stdout).length]).toEqual([EXIT.ok, 501]);
    const asked = new Set(resumed.posted.map((form) => form.get('Sim')));
    expect([asked.size, asked.has(simSid('last'))]).toEqual([501 - ended.length, true]);
    expect(ended.filter((sid) => asked.has(sid))).toEqual([]);
    expect(resumed.stderr).not.toContain('duplicate');
  });

  it('asks those that are there where the second cannot be read, ends with the error, and can be resumed', async () => {
    const { run, state } = await setUp();
    const refused: Answer = (response) => json(response, 403, vendorError(403, 20403));
    const failed = await run({ name: 'ping', fleet: 'north', state }, { listFleet: twoPages(refused), timeScale: 1 });
    expect([failed.code, rowsOf(failed.stdout).length]).toEqual([EXIT.refused, 500]);
    expect(failed.stderr).toContain('0 SIMs are left, and the Fleet was not read to its end');
    const resumed = await run({ resume: state }, { listFleet: twoPages(lastSim), timeScale: 1 });
    expect([resumed.code, rowsOf(resumed.stdout).length]).toEqual([EXIT.ok, 501]);
  });

  it('says so where it is resumed and has become empty', async () => {
    const { run, state } = await setUp();
    (
      await createBroadcastState(state, { name: 'ping', format: 'coap', get: false, devicePort: 6969, fleet: 'north' })
    ).close();
    const { code, stderr } = await run({ resume: state }, { listFleet: pagesOf([]) });
    expect([code, stderr]).toEqual([EXIT.usage, expect.stringContaining('the Fleet north is empty')]);
  });

  it('waits for all of them where some go first', async () => {
    const { run, state } = await setUp();
    const { code, stderr, posted } = await run(
      { name: 'ping', fleet: 'north', canary: '50%', state },
      { listFleet: pagesOf(['a', 'b', 'c', 'd']) },
    );
    expect([code, posted.length]).toEqual([EXIT.ok, 4]);
    expect(stderr).toContain('4 SIMs, 4 to ask');
  });
});

describe('the progress of a broadcast', () => {
  const none = { done: 0, failed: 0, refused: 0, interrupted: 0, 'not-sent': 0, 'no-answer': 0 };

  test.each([
    [{}, 10, 0, '[....................] 0 of 10, 0 done, 0 failed, 0 no answer, 0.0/s'],
    [
      { done: 40, refused: 1, 'not-sent': 2, interrupted: 3, failed: 4, 'no-answer': 50 },
      200,
      2.5,
      '[##########..........] 100 of 200, 40 done, 10 failed, 50 no answer, 2.5/s, 40 s left',
    ],
    [{ done: 999 }, 1000, 100, '[###################.] 999 of 1000, 999 done, 0 failed, 0 no answer, 100/s, 1 s left'],
    [{ done: 10 }, 10, 5, '[####################] 10 of 10, 10 done, 0 failed, 0 no answer, 5.0/s'],
    [{}, 1000, 0.5, '[....................] 0 of 1000, 0 done, 0 failed, 0 no answer, 0.5/s, 33 min left'],
    [{}, 1_000_000, 50, '[....................] 0 of 1000000, 0 done, 0 failed, 0 no answer, 50/s, 5.6 h left'],
    [{}, 0, 0, '[####################] 0 of 0, 0 done, 0 failed, 0 no answer, 0.0/s'],
  ])('is formatted for %j of %i at %f a second', (counts, total, rate, line) => {
    expect(formatProgress({ ...none, ...counts }, { total, isWhole: true }, rate)).toBe(line);
  });

  it('tells no time while the SIMs are read', () => {
    const line = formatProgress({ ...none, done: 10 }, { total: 20, isWhole: false }, 5);
    expect(line).toBe('[##########..........] 10 of 20 so far, 10 done, 0 failed, 0 no answer, 5.0/s');
  });

  describe('as time goes on', () => {
    beforeEach(() => {
      vi.useFakeTimers();
    });
    afterEach(() => {
      vi.useRealTimers();
    });

    it('is redrawn on a terminal, also while no SIM ends', () => {
      const stderr = new Sink({ isTTY: true });
      const counts = { ...none, done: 500 };
      const progress = createProgress(counts, { total: 1000, isWhole: true }, stderr);
      vi.advanceTimersByTime(1000);
      counts.done += 100;
      vi.advanceTimersByTime(1000);
      expect(stderr.text.split('\r\u001b[K').at(-1)).toBe(
        '[############........] 600 of 1000, 600 done, 0 failed, 0 no answer, 50/s, 8 s left',
      );
      progress.end();
      expect(stderr.text.endsWith('\n')).toBe(true);
      expect(vi.getTimerCount()).toBe(0);
    });

    it('is a line every ten seconds elsewhere', () => {
      const stderr = new Sink();
      const progress = createProgress(none, { total: 1000, isWhole: true }, stderr);
      vi.advanceTimersByTime(9000);
      expect(stderr.text).toBe('');
      vi.advanceTimersByTime(11_000);
      progress.hide();
      progress.end();
      expect(stderr.text.split('\n')).toHaveLength(4);
      expect(stderr.text).not.toContain('\u001b');
    });
  });
});
