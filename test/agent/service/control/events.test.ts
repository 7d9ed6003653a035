import { describe, expect, it } from 'vitest';
import { createControlEvents } from '../../../../agent/service/control/events.js';
import { MAX_EVENT_BODY } from '../../../../agent/service/control/schema.js';
import type { EventState } from '../../../../agent/service/control/target.js';
import { SupersimError } from '../../../../shared/errors.js';
import { deferred } from '../../../support/deferred.js';
import { ask, connect, fakeTarget, openControl, talk } from './support.js';

/** A control socket whose events go to the test. */
async function openEvents(answer: () => Promise<EventState> = async () => 'sent') {
  const dispatched: unknown[][] = [];
  const dispatch = (...args: unknown[]) => {
    dispatched.push(args);
    return answer();
  };
  const { path } = await openControl({ target: { ...fakeTarget(), events: createControlEvents({ dispatch }) } });
  return { path, dispatched };
}

const post = (body: string, headers = '') =>
  `POST /events HTTP/1.1\r\nHost: a\r\n${headers}Content-Length: ${Buffer.byteLength(body)}\r\n\r\n${body}`;

const JSON_TYPE = 'Content-Type: application/json; charset=utf-8\r\n';

describe('POST /events of the control socket', () => {
  it('sends bytes, or a name and data in JSON, and answers where the event is', async () => {
    const { path, dispatched } = await openEvents(async () => 'on-disk');
    expect(await ask(path, 'POST', '/events', '{"event":"x"}')).toMatchObject({
      status: 200,
      body: { state: 'on-disk' },
    });
    expect(await talk(path, post('{"event":"x","data":[1]}', JSON_TYPE))).toContain('{"state":"on-disk"}');
    expect(await talk(path, post('{"event":"x"}', JSON_TYPE))).toContain('200 OK');
    expect(dispatched).toEqual([
      [Buffer.from('{"event":"x"}'), undefined],
      ['x', [1]],
      ['x', undefined],
    ]);
  });

  it.each([
    ['nothing', ''],
    ['no JSON', 'door'],
    ['no object', '[]'],
    ['no name', '{"data":1}'],
    ['an empty name', '{"event":""}'],
    ['a name that is none', '{"event":5}'],
    ['something more', '{"event":"x","dta":1}'],
  ])('refuses an event that is %s', async (_what, body) => {
    const { path, dispatched } = await openEvents();
    expect(await talk(path, post(body, JSON_TYPE))).toMatch(/^HTTP\/1\.1 400 .*"code":"bad-input"/s);
    expect(dispatched).toEqual([]);
  });

  it('refuses a body above the limit, with or without Content-Length', async () => {
    const { path, dispatched } = await openEvents();
    const most = 'x'.repeat(MAX_EVENT_BODY);
    expect(await ask(path, 'POST', '/events', most)).toMatchObject({ status: 200 });
    expect(await ask(path, 'POST', '/events', `${most}x`)).toMatchObject({ status: 413, code: 'too-large' });
    const chunk = `4000\r\n${'x'.repeat(0x4000)}\r\n`;
    const chunked = `POST /events HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n${chunk.repeat(64)}0\r\n\r\n`;
    expect(await talk(path, chunked)).toMatch(/^HTTP\/1\.1 413 .*"code":"too-large"/s);
    expect(dispatched).toHaveLength(1);
  });

  it('refuses an incomplete body', async () => {
    const { path, dispatched } = await openEvents();
    const socket = await connect(path);
    socket.end('POST /events HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\n\r\nabc');
    await new Promise((resolve) => socket.resume().once('close', resolve));
    expect(await ask(path, 'POST', '/events', 'x')).toMatchObject({ status: 200 });
    expect(dispatched).toEqual([[Buffer.from('x'), undefined]]);
  });

  it('accepts four concurrent events at most, so that the status stays available', async () => {
    const left = deferred<EventState>();
    const { path, dispatched } = await openEvents(() => left.promise);
    const waiting = Array.from({ length: 4 }, () => ask(path, 'POST', '/events', 'x'));
    await expect.poll(() => dispatched).toHaveLength(4);
    expect(await ask(path, 'POST', '/events', 'x')).toMatchObject({ status: 503, code: 'busy' });
    expect(await ask(path, 'GET', '/status')).toMatchObject({ status: 200 });
    left.resolve('sent');
    for (const one of await Promise.all(waiting)) expect(one).toMatchObject({ status: 200, body: { state: 'sent' } });
    expect(await ask(path, 'POST', '/events', 'x')).toMatchObject({ status: 200 });
  });

  it('answers why an event cannot be sent', async () => {
    const failures = [new SupersimError('link-down', 'm'), new SupersimError('too-large', 'm'), new Error('m')];
    const { path } = await openEvents(() => Promise.reject(failures.shift()));
    for (const [status, code] of [
      [503, 'link-down'],
      [413, 'too-large'],
      [500, 'internal-error'],
    ] as const) {
      expect(await ask(path, 'POST', '/events', 'x')).toMatchObject({ status, code });
    }
  });

  it('is unsupported without events, as is /metrics without metrics', async () => {
    const { path } = await openControl();
    expect(await ask(path, 'POST', '/events', 'x')).toMatchObject({ status: 400, code: 'bad-input' });
    expect(await ask(path, 'GET', '/metrics')).toMatchObject({ status: 400, code: 'bad-input' });
    expect(await ask(path, 'GET', '/events')).toMatchObject({ status: 405, headers: { allow: 'POST' } });
  });
});
