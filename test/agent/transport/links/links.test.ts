import { beforeEach, describe, expect, it, onTestFinished, vi } from 'vitest';
import { resolveConfig } from '../../../../agent/config/load.js';
import type { ConfigInput } from '../../../../agent/config/schema.js';
import type { Endpoint } from '../../../../agent/transport/endpoint.js';
import { createLinks } from '../../../../agent/transport/links/links.js';
import type { ModemOptions } from '../../../../agent/transport/modem/options.js';
import { createSentCounts } from '../../../../agent/transport/sent-counts.js';
import type { Datagram } from '../../../../agent/transport/transport.js';
import { type PlayedModem, playModem } from '../../../support/links.js';
import { recordingLog } from '../../../support/log.js';
import { openPeer, randomAddress } from '../../../support/udp.js';

const linkCounts = () => ({ udp: createSentCounts(), modem: createSentCounts() });

/** The modems that were created, with their options. */
const made: { readonly modem: PlayedModem; readonly options: ModemOptions }[] = [];
vi.mock('../../../../agent/transport/modem/modem-transport.js', () => ({
  createModemTransport: (options: ModemOptions) => {
    const modem = playModem(options.ports, options.gateway);
    made.push({ modem, options });
    return modem;
  },
}));
beforeEach(() => {
  made.length = 0;
});

type Settings = Pick<ConfigInput, 'link' | 'modem'>;

/** Creates a transport on an address of its own, not started yet, and a peer as the gateway. */
async function make(settings: Settings, listen = randomAddress()) {
  const gateway = await openPeer();
  const configure = ({ link, modem }: Settings) =>
    resolveConfig({
      listen: { address: listen, receiveBufferBytes: 65_536 },
      gateway: gateway.endpoint,
      link: { downFor: '1s', upFor: '1s', ...link },
      modem: { ...modem },
    });
  const transport = await createLinks(configure(settings), recordingLog().log, linkCounts());
  onTestFinished(() => transport.stop());
  const received: Datagram[] = [];
  return {
    transport,
    gateway,
    listen,
    received,
    start: () => transport.start((datagram) => received.push(datagram)),
    change: (next: Settings) => transport.change(configure(next)),
    send: (text: string, via?: string) =>
      new Promise<Error | undefined>((done) => transport.send(Buffer.from(text), gateway.endpoint, 6969, done, via)),
    /** Sends these, and returns what was received after that. */
    async arrives(to: Endpoint): Promise<boolean> {
      const before = received.length;
      await gateway.send('x', to);
      await gateway.everythingSoFar();
      await expect
        .poll(() => received.length, { timeout: 1000 })
        .toBeGreaterThan(before)
        .catch(() => undefined);
      return received.length > before;
    },
  };
}

const MODEM = { path: '/dev/modem' };
const device = (address: string | undefined): Endpoint => ({ address: address ?? '', port: 6969 });
const listensOn = async (address: string) => {
  try {
    (await openPeer(address, 6969)).close();
    return false;
  } catch {
    return true;
  }
};

describe('the start of the links', () => {
  it('fails when the UDP port is in use, and does not start the modem', async () => {
    const taken = await openPeer(randomAddress(), 6969);
    const { start } = await make({ modem: MODEM }, taken.endpoint.address);
    await expect(start()).rejects.toMatchObject({ code: 'port-in-use' });
    expect(made[0]?.modem.address()).toBeUndefined();
  });

  it('leaves nothing open when it is stopped meanwhile', async () => {
    for (let moment = 0; moment < 12; moment++) {
      const { transport, start, listen } = await make({ modem: MODEM });
      const { modem } = made[moment] ?? {};
      const started = start();
      for (let i = 0; i < moment; i++) await Promise.resolve();
      await Promise.all([transport.stop(), started]);
      expect([transport.address(), modem?.address()]).toEqual([undefined, undefined]);
      for (const address of [listen, modem?.listens ?? '']) expect(await listensOn(address)).toBe(false);
    }
  });
});

describe('a change of the links', () => {
  it('of the modem’s settings reopens the modem, and keeps the UDP socket', async () => {
    const { start, change, gateway, listen, received, transport } = await make({ modem: MODEM });
    await start();
    const sent = 400;
    const stream = (async () => {
      for (let n = 0; n < sent; n++) {
        await gateway.send(`${n}`, device(listen));
        if (n % 10 === 0) await new Promise((resolve) => setTimeout(resolve, 2));
      }
    })();
    for (const apn of ['a', 'b', 'c', 'd']) {
      await change({ modem: { ...MODEM, apn } });
      expect(transport.address()).toBe(listen);
    }
    await stream;
    await expect.poll(() => received.length).toBe(sent);
    expect(received.map(({ bytes }) => Number(bytes))).toEqual(Array.from({ length: sent }, (_, n) => n));
    expect(made.map(({ options }) => options.apn)).toEqual(['super', 'a', 'b', 'c', 'd']);
    const listening = await Promise.all(made.map(({ modem }) => listensOn(modem.listens)));
    expect(listening).toEqual([false, false, false, false, true]);
    expect(transport.link().links.map(({ name, up }) => [name, up])).toEqual([
      ['udp', true],
      ['modem', true],
    ]);
  });

  it('of other settings keeps the modem', async () => {
    const { start, change, transport } = await make({ modem: MODEM });
    await start();
    const since = transport.link();
    await change({ modem: MODEM });
    expect(transport.link()).toEqual(since);
    await change({ modem: MODEM, link: { downFor: '5s', interface: 'wwan9' } });
    await change({ modem: MODEM, link: { policy: 'modem' } });
    expect(made).toHaveLength(1);
    expect(made[0]?.modem.address()).toBeDefined();
  });

  it('of the policy opens and closes UDP and the modem', async () => {
    const { start, change, arrives, listen, transport, send, gateway } = await make({});
    await start();
    expect(made).toEqual([]);
    await change({ modem: MODEM });
    const first = device(made[0]?.modem.listens);
    expect([await arrives(device(listen)), await arrives(first)]).toEqual([true, true]);
    await change({ modem: MODEM, link: { policy: 'modem' } });
    expect(transport.name).toBe('modem');
    expect([await listensOn(listen), await arrives(first)]).toEqual([false, true]);
    expect(await send('by the modem', 'udp')).toBeUndefined();
    expect((await gateway.next()).source.address).toBe(first.address);
    await change({ modem: MODEM, link: { policy: 'udp' } });
    expect(transport.name).toBe('udp');
    expect([await arrives(device(listen)), await listensOn(first.address)]).toEqual([true, false]);
    await change({ modem: MODEM });
    expect(await arrives(device(made[1]?.modem.listens))).toBe(true);
    await transport.stop();
    for (const address of [listen, ...made.map(({ modem }) => modem.listens)]) {
      expect(await listensOn(address)).toBe(false);
    }
  });

  it('to the modem alone allows interruptions', async () => {
    const { start, change } = await make({ modem: MODEM });
    await start();
    await change({ modem: MODEM, link: { policy: 'modem' } });
    expect(made[0]?.modem.interruptions.at(-1)).toBe(true);
  });

  it('of the interface makes UDP listen there', async () => {
    const gateway = await openPeer('127.0.0.1');
    const configure = (link: ConfigInput['link']) =>
      resolveConfig({
        listen: { receiveBufferBytes: 65_536, ports: [gateway.endpoint.port] },
        gateway: gateway.endpoint,
        link,
      });
    const transport = await createLinks(configure({ interface: 'nowhere0' }), recordingLog().log, linkCounts());
    onTestFinished(() => transport.stop());
    gateway.close();
    await transport.start(() => undefined);
    expect(transport.address()).toBeUndefined();
    await transport.change(configure({ interface: 'lo' }));
    await expect.poll(() => transport.address()).toBe('127.0.0.1');
  });

  it('to UDP with its port in use fails, and changes nothing', async () => {
    const { start, change, arrives, listen, transport } = await make({ modem: MODEM, link: { policy: 'modem' } });
    await start();
    const taken = await openPeer(listen, 6969);
    await expect(change({ modem: { ...MODEM, apn: 'other' } })).rejects.toMatchObject({ code: 'port-in-use' });
    expect(transport.name).toBe('modem');
    expect(await arrives(device(made[0]?.modem.listens))).toBe(true);
    expect(await Promise.all(made.map(({ modem }) => listensOn(modem.listens)))).toEqual([true, false]);
    taken.close();
    await change({ modem: MODEM });
    expect(await arrives(device(listen))).toBe(true);
  });

  it('leaves nothing open when it is stopped meanwhile', async () => {
    for (let moment = 0; moment < 24; moment++) {
      made.length = 0;
      const { start, change, listen, transport } = await make({ modem: MODEM, link: { policy: 'modem' } });
      await start();
      const changed = change({ modem: { ...MODEM, apn: 'other' } });
      for (let i = 0; i < moment; i++) await Promise.resolve();
      await Promise.all([transport.stop(), changed]);
      for (const address of [listen, ...made.map(({ modem }) => modem.listens)]) {
        expect(await listensOn(address)).toBe(false);
      }
    }
  });
});
