import { describe, expect, it, onTestFinished } from 'vitest';
import type { Endpoint } from '../../../../agent/transport/endpoint.js';
import { createFailover, type FailoverOptions } from '../../../../agent/transport/links/failover.js';
import { countSent, createSentCounts } from '../../../../agent/transport/sent-counts.js';
import type { Datagram } from '../../../../agent/transport/transport.js';
import { createUdpTransport } from '../../../../agent/transport/udp/udp.js';
import { MODEM_HEALTH, playModem } from '../../../support/links.js';
import { recordingLog } from '../../../support/log.js';
import { openPeer, randomAddress } from '../../../support/udp.js';

/** Starts both links on their own loopback addresses, and a peer as the gateway; all end with the test. */
async function startBoth(options: Partial<FailoverOptions> = {}) {
  const gateway = await openPeer();
  const listen = randomAddress();
  const recording = recordingLog();
  const udp = createUdpTransport(
    { listen, ports: [6969], gateway: gateway.endpoint, receiveBufferBytes: 65_536 },
    recording.log,
  );
  const modem = playModem([6969], gateway.endpoint);
  /** Why UDP does not reach the gateway. */
  const route: { gone: string | undefined } = { gone: undefined };
  const failover = createFailover(
    {
      udp,
      modem,
      gateway: gateway.endpoint,
      downForMs: 1000,
      upForMs: 1000,
      routeProblem: async () => route.gone,
      ...options,
    },
    recording.log,
  );
  onTestFinished(
    async () => void (await Promise.all([failover, udp, options.modem ?? modem].map((each) => each.stop()))),
  );
  const received: Datagram[] = [];
  for (const link of [udp, options.modem ?? modem]) await link.start((datagram) => received.push(datagram));
  await failover.start();
  return {
    failover,
    gateway,
    recording,
    route,
    udp,
    modem,
    received,
    listen,
    send: (text: string, via?: string, destination: Endpoint = gateway.endpoint) =>
      new Promise<Error | undefined>((done) => failover.send(Buffer.from(text), destination, 6969, done, via)),
    /** Returns the source address of the next datagram to the gateway. */
    from: async () => (await gateway.next()).source.address,
    inUse: (link: string) => expect.poll(() => failover.link().name).toBe(link),
  };
}

describe('a failover between two links', () => {
  it('counts the sends of each link, and the failed ones that the other link takes over', async () => {
    const counts = createSentCounts();
    const modem = countSent(playModem([6969], { address: '127.0.0.1', port: 6969 }), counts);
    const { send, gateway } = await startBoth({ modem });
    expect(await send('by the modem', 'modem')).toBeUndefined();
    expect((await gateway.next()).bytes.toString()).toBe('by the modem');
    expect(counts).toEqual({ sent: 1, sentBytes: 12, failed: 0 });
    await modem.plug(false);
    expect(await send('by UDP then', 'modem')).toBeUndefined();
    expect((await gateway.next()).bytes.toString()).toBe('by UDP then');
    expect(counts).toMatchObject({ sent: 1, sentBytes: 12 });
  });

  it('receives by both, and names the link of each datagram', async () => {
    const { gateway, listen, modem, received } = await startBoth();
    await gateway.send('a', { address: listen, port: 6969 });
    await gateway.send('b', { address: modem.listens, port: 6969 });
    await expect.poll(() => received.length).toBe(2);
    expect(received.map(({ transport }) => transport).sort()).toEqual(['modem', 'udp']);
  });

  it('sends a reply by the link of its command, and an event by the link in use', async () => {
    const { send, from, listen, modem } = await startBoth();
    for (const [via, address] of [
      ['modem', modem.listens],
      ['udp', listen],
      [undefined, listen],
      ['a link of another version', listen],
    ] as const) {
      expect(await send('x', via)).toBeUndefined();
      expect(await from()).toBe(address);
    }
  });

  it('reports which link sent a datagram', async () => {
    const { failover, gateway, modem } = await startBoth();
    const leftBy = (via: string, destination = gateway.endpoint) =>
      new Promise((resolve) =>
        failover.send(Buffer.from('x'), destination, 6969, (error, link) => resolve(error ?? link), via),
      );
    expect([await leftBy('modem'), await leftBy('udp')]).toEqual(['modem', 'udp']);
    const lan = await openPeer();
    expect(await leftBy('modem', lan.endpoint)).toBe('modem');
    await modem.plug(false);
    expect(await leftBy('modem')).toBe('udp');
  });

  it('sends a reply by the other link when that of its command is down', async () => {
    const { send, from, listen, modem, route } = await startBoth();
    await modem.plug(false);
    expect(await send('x', 'modem')).toBeUndefined();
    expect(await from()).toBe(listen);
    await modem.plug(true);
    route.gone = 'the cable is cut';
    await expect.poll(async () => ((await send('x', 'udp')) === undefined ? from() : 'lost')).toBe(modem.listens);
  });

  it('sends a datagram to another destination only by the link of its command', async () => {
    const { send, modem, route, failover } = await startBoth();
    const lan = await openPeer();
    route.gone = 'the cable is cut';
    await expect.poll(() => failover.link().name).toBe('modem');
    expect(await send('x', 'udp', lan.endpoint)).toBeUndefined();
    expect((await lan.next()).source.address).not.toBe(modem.listens);
    await modem.plug(false);
    expect(await send('x', 'modem', lan.endpoint)).toMatchObject({ code: 'link-down' });
    expect(await lan.everythingSoFar()).toEqual([]);
  });

  it('refuses while both are down, so that the outbox keeps the datagram', async () => {
    const { send, modem, udp } = await startBoth();
    await Promise.all([modem.plug(false), udp.stop()]);
    for (const via of ['udp', 'modem', undefined]) expect(await send('x', via)).toMatchObject({ code: 'link-down' });
  });

  it('reports the smaller limit, and sends a longer datagram by the link that can take it, not now, or never', async () => {
    const { send, from, listen, modem, failover, route } = await startBoth();
    expect(failover.maxBytes()).toBe(1300);
    modem.take(1024);
    expect(failover.maxBytes()).toBe(1024);
    expect(await send('x'.repeat(1025), 'modem')).toBeUndefined();
    expect(await from()).toBe(listen);
    expect(await send('x'.repeat(1301))).toMatchObject({ code: 'too-large' });
    route.gone = 'the cable is cut';
    await expect.poll(() => failover.link().name).toBe('modem');
    expect(await send('x'.repeat(1025))).toMatchObject({ code: 'link-down' });
    expect(await send('x'.repeat(1024))).toBeUndefined();
    expect(await from()).toBe(modem.listens);
  });
});

describe('a switch of the link', () => {
  it('happens when the route is lost, is undone after its time, and is logged and reported', async () => {
    const { failover, recording, route, inUse, listen, modem } = await startBoth();
    expect(failover.link()).toMatchObject({ name: 'udp', switches: 0 });
    expect([failover.name, failover.address()]).toEqual(['udp', listen]);
    route.gone = 'the cable is cut';
    await inUse('modem');
    expect([failover.name, failover.address()]).toEqual(['modem', modem.listens]);
    expect(failover.link()).toMatchObject({
      switches: 1,
      links: [
        { name: 'modem', up: true, address: modem.listens, modem: MODEM_HEALTH },
        { name: 'udp', up: false, reason: 'the cable is cut' },
      ],
    });
    expect(Math.abs(Date.now() - failover.link().since)).toBeLessThan(10_000);
    const before = performance.now();
    route.gone = undefined;
    await inUse('udp');
    expect(performance.now() - before).toBeGreaterThan(990);
    expect(recording.withMessage('link switched').map(({ details }) => details)).toEqual([
      { from: 'udp', to: 'modem', why: 'no-route', switches: 1 },
      { from: 'modem', to: 'udp', why: 'udp-up', switches: 2 },
    ]);
    expect(recording.withMessage('link down')).toMatchObject([
      { details: { link: 'udp', reason: 'the cable is cut' } },
    ]);
    expect(failover.link().links).toMatchObject([{ name: 'udp', up: true }, { name: 'modem' }]);
  });

  it('happens at once when a send by UDP fails, and the modem sends it', async () => {
    // A broadcast address, to which the kernel refuses to send without SO_BROADCAST.
    const gateway = { address: '127.255.255.255', port: 6969 };
    const modem = playModem([6969], gateway);
    const left: string[] = [];
    const { failover, send, recording } = await startBoth({
      gateway,
      modem: {
        ...modem,
        send(bytes, _destination, _port, done) {
          left.push(Buffer.from(bytes).toString());
          done();
        },
      },
    });
    expect(await send('x', undefined, gateway)).toBeUndefined();
    expect(left).toEqual(['x']);
    expect(failover.link().name).toBe('modem');
    expect(recording.withMessage('link switched')).toMatchObject([{ details: { why: 'send-failed' } }]);
    expect(modem.interruptions).toEqual([false, true]);
  });

  it('allows interruptions of the modem only while UDP is not in use or fails', async () => {
    const { modem, route, inUse } = await startBoth();
    expect(modem.interruptions).toEqual([false]);
    await modem.plug(false);
    const before = performance.now();
    route.gone = 'the cable is cut';
    // The modem is not in use, but may be recovered.
    await expect.poll(() => modem.interruptions, { interval: 20 }).toEqual([false, true]);
    // The interface may just be coming up by the same modem.
    expect(performance.now() - before).toBeGreaterThan(1000);
    await modem.plug(true);
    await inUse('modem');
    route.gone = undefined;
    await inUse('udp');
    expect(modem.interruptions).toEqual([false, true, false]);
  });
});
