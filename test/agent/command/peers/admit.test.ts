import { randomInt } from 'node:crypto';
import { BlockList } from 'node:net';
import fc from 'fast-check';
import { describe, expect, it, onTestFinished } from 'vitest';
import { createAgent } from '../../../../agent/agent.js';
import { createAdmission, createCarrierCheck } from '../../../../agent/command/peers/admit.js';
import { recordingLog } from '../../../support/log.js';
import { needs } from '../../../support/needs.js';
import { SEED } from '../../../support/seed.js';
import { openPeer, randomAddress } from '../../../support/udp.js';

const datagram = (address: string, length = 4) => ({
  bytes: Buffer.alloc(length, 'p'),
  source: { address, port: 6969 },
  port: 6969,
  transport: 'udp',
  receivedAt: 0,
});

const admitted = (allow: readonly string[], addresses: readonly string[]) => {
  const refusalOf = createAdmission(allow);
  return addresses.filter((address) => refusalOf(datagram(address)) === undefined);
};

describe('the allow list', () => {
  it('lets in its IPv4 ranges to their very ends', () => {
    const addresses = ['100.63.255.255', '100.64.0.0', '100.64.0.1', '100.127.255.255', '100.128.0.0', '10.0.0.1'];
    expect(admitted(['100.64.0.0/10'], addresses)).toEqual(['100.64.0.0', '100.64.0.1', '100.127.255.255']);
    expect(admitted(['100.64.0.1/32', '10.0.0.0/8'], addresses)).toEqual(['100.64.0.1', '10.0.0.1']);
    expect(admitted(['0.0.0.0/0'], addresses)).toEqual(addresses);
  });

  it('takes a range by any of its addresses', () => {
    expect(admitted(['100.99.1.2/10'], ['100.64.0.1', '100.63.0.1'])).toEqual(['100.64.0.1']);
  });

  it('lets in its IPv6 ranges, with or without a zone', () => {
    const addresses = ['fd00::1', 'fd00:0:0:1::1', '::1', 'fe80::1%eth0', '100.64.0.1'];
    expect(admitted(['fd00::/64'], addresses)).toEqual(['fd00::1']);
    expect(admitted(['fe80::/10'], addresses)).toEqual(['fe80::1%eth0']);
    expect(admitted(['::1/128'], addresses)).toEqual(['::1']);
  });

  it('means the same by an IPv4 address and its form in IPv6', () => {
    expect(admitted(['100.64.0.0/10'], ['::ffff:100.64.0.1', '::ffff:10.0.0.1'])).toEqual(['::ffff:100.64.0.1']);
    expect(admitted(['::ffff:10.0.0.0/104'], ['10.1.2.3', '11.1.2.3'])).toEqual(['10.1.2.3']);
  });

  it('lets nobody in whose address is none', () => {
    expect(admitted(['0.0.0.0/0', '::/0'], ['', 'localhost', '1.2.3', '1.2.3.4.5', '1.2.3.256'])).toEqual([]);
  });

  it('means of IPv4 what the BlockList of Node means', () => {
    const address = fc.ipV4();
    const range = fc.tuple(address, fc.integer({ min: 0, max: 32 }));
    fc.assert(
      fc.property(fc.array(range, { minLength: 1, maxLength: 4 }), fc.array(address), (ranges, addresses) => {
        const list = new BlockList();
        for (const [network, prefix] of ranges) list.addSubnet(network, prefix);
        const near = ranges.map(([network]) => network);
        const all = [...addresses, ...near];
        const allow = ranges.map(([network, prefix]) => `${network}/${prefix}`);
        expect(admitted(allow, all)).toEqual(all.filter((one) => list.check(one)));
      }),
      { seed: SEED, numRuns: 500 },
    );
    expect(admitted(['0.0.0.0/0'], ['1..2.3', '.1.2.3', '1.2.3.', '1.2.3.4 ', '256.1.1.1', '1.2.3.4'])).toEqual([
      '1.2.3.4',
    ]);
  });

  it('answers the same when it has seen ten thousands of addresses since', () => {
    const refusalOf = createAdmission(['10.0.0.0/16']);
    const refused = (address: string) => refusalOf(datagram(address)) !== undefined;
    for (let round = 0; round < 2; round++) {
      for (let host = 0; host < 20_000; host++) {
        const tail = `${host >> 8}.${host & 0xff}`;
        expect(refused(`10.0.${tail}`)).toBe(false);
        expect(refused(`10.1.${tail}`)).toBe(true);
      }
    }
  });
});

describe('a datagram’s size', () => {
  it('is 1 to 1300 bytes', () => {
    const refusalOf = createAdmission(['100.64.0.0/10']);
    const causes = [0, 1, 1300, 1301, 65_507].map((length) => refusalOf(datagram('100.64.0.1', length)));
    expect(causes).toEqual(['empty', undefined, undefined, 'oversize', 'oversize']);
  });

  it('is no matter for those who may not send at all', () => {
    const refusalOf = createAdmission(['100.64.0.0/10']);
    expect([0, 4, 1301].map((length) => refusalOf(datagram('10.0.0.1', length)))).toEqual([
      'source',
      'source',
      'source',
    ]);
  });
});

describe('the carrier', () => {
  it('is its whole range and the gateway, wherever that is', () => {
    const isCarrier = createCarrierCheck({ address: '127.0.0.5', port: 6969 });
    const carrier = ['100.64.0.1', '100.100.1.1', '127.0.0.5'];
    expect([...carrier, '127.0.0.6', '100.128.0.1', '::1'].filter(isCarrier)).toEqual(carrier);
    expect(['fd00::1', 'fd00::2'].filter(createCarrierCheck({ address: 'fd00::1', port: 1 }))).toEqual(['fd00::1']);
  });
});

async function startAgent(address: string, allow: string[]) {
  const recording = recordingLog();
  const agent = createAgent({
    config: { listen: { address, ports: [6969] }, allow, gateway: { address: randomAddress(), port: 6969 } },
    log: recording.log,
  });
  await agent.start();
  onTestFinished(() => agent.stop());
  return { agent, recording, endpoint: { address, port: 6969 } };
}

describe('over real sockets', () => {
  it('who is not allowed is never answered, while one who is gets an answer', async () => {
    const control = await openPeer();
    const strangers = [await openPeer(), await openPeer(), await openPeer()];
    const { agent, recording, endpoint } = await startAgent(randomAddress(), [`${control.endpoint.address}/32`]);
    const attempts = ['ping', '#1 ping', '{"id":1,"method":"ping"}', '{', '', 'nothing of the kind', 'x'.repeat(1301)];
    for (const stranger of strangers) {
      for (const attempt of attempts) await stranger.send(attempt, endpoint);
    }
    expect((await control.ask('ping', endpoint)).toString()).toBe('ok pong');
    for (const stranger of strangers) expect(await stranger.everythingSoFar()).toEqual([]);
    expect(agent.status().counters).toMatchObject({
      received: strangers.length * attempts.length + 1,
      refusedSource: strangers.length * attempts.length,
      sent: 1,
    });
    const admitBy = recording.withMessage('datagram refused').map(({ details }) => details['admitBy']);
    expect(admitBy).toEqual([`allow: [${strangers[0]?.endpoint.address}/32]`]);
  });

  it('the line that the log recommends lets the stranger in', async () => {
    const stranger = await openPeer();
    const control = await openPeer();
    const { recording, endpoint } = await startAgent(randomAddress(), [`${control.endpoint.address}/32`]);
    await stranger.send('ping', endpoint);
    await control.ask('ping', endpoint);
    const [refusal] = recording.withMessage('datagram refused');
    const range = /^allow: \[(.*)\]$/.exec(String(refusal?.details['admitBy']))?.[1];
    const second = await startAgent(randomAddress(), [range ?? '']);
    expect((await stranger.ask('ping', second.endpoint)).toString()).toBe('ok pong');
  });

  it('empty and oversized datagrams are counted and not answered; 1 and 1300 bytes are', async () => {
    const peer = await openPeer();
    const { agent, endpoint } = await startAgent(randomAddress(), [`${peer.endpoint.address}/32`]);
    for (const length of [0, 1301, 65_507]) await peer.send(Buffer.alloc(length, 'p'), endpoint);
    expect((await peer.ask('p', endpoint)).toString()).toMatch(/^error unknown-command /);
    const longest = await peer.ask(`echo ${'p'.repeat(1295)}`, endpoint);
    expect(longest.toString()).toBe(`ok ${'p'.repeat(1295)}`);
    expect(await peer.everythingSoFar()).toEqual([]);
    expect(agent.status().counters).toMatchObject({ received: 5, refusedEmpty: 1, refusedOversize: 2, sent: 2 });
  });

  it.skipIf(needs('ipv6'))('an IPv4 sender is known by its IPv4 address on a socket for both', async () => {
    const control = await openPeer();
    const stranger = await openPeer();
    const port = randomInt(20_000, 30_000);
    const agent = createAgent({
      config: { listen: { address: '::', ports: [port] }, allow: [`${control.endpoint.address}/32`] },
    });
    await agent.start();
    onTestFinished(() => agent.stop());
    const endpoint = { address: '127.0.0.1', port };
    await stranger.send('ping', endpoint);
    expect((await control.ask('ping', endpoint)).toString()).toBe('ok pong');
    expect(await stranger.everythingSoFar()).toEqual([]);
  });
});
