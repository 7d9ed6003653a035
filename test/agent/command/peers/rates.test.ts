import { describe, expect, it } from 'vitest';
import { createRates, MAX_RATED } from '../../../../agent/command/peers/rates.js';

const GATEWAY = '100.64.0.1';
const PEER = '192.0.2.1';

/** Rates with a clock that the test moves. */
function start(fromSimPerHour = 3600, repliesPerSecond = 10) {
  const clock = { now: 0 };
  const limits = { fromSimPerHour, repliesPerSecond };
  const rates = createRates(
    limits,
    (address) => address.startsWith('100.64.'),
    () => clock.now,
  );
  /** How many datagrams may leave, of so many. */
  const leaving = (address: string, of = 10_000, holder = address) => {
    let count = 0;
    while (count < of && rates.take(address, holder) === undefined) count++;
    return count;
  };
  return { clock, rates, leaving };
}

describe('messages to the gateway', () => {
  it('are limited in an hour, and go on at the rate', () => {
    const { clock, rates, leaving } = start();
    expect(leaving(GATEWAY)).toBe(2700);
    expect(rates.take(GATEWAY, GATEWAY)).toBe('from-sim-rate');
    clock.now += 10_000;
    expect(leaving(GATEWAY)).toBe(10);
    clock.now += 100 * 3_600_000;
    expect(leaving(GATEWAY)).toBe(2700);
  });

  it('that one address has sent leave a quarter to others, however long it goes on', () => {
    const { clock, leaving } = start();
    for (let second = 0; second < 7200; second++) {
      clock.now += 1000;
      leaving(GATEWAY, 100, '100.64.0.66');
    }
    expect(leaving(GATEWAY, 10_000, '100.64.0.1')).toBe(450);
    expect(leaving(GATEWAY, 10_000, 'device')).toBe(225);
  });

  it('are counted for addresses together when there are too many of them', () => {
    const { clock, leaving } = start(1_000_000);
    for (let host = 0; host < 2 * MAX_RATED; host++) expect(leaving(GATEWAY, 1, `holder ${host}`)).toBe(1);
    clock.now += 3_600_000;
    expect(leaving(GATEWAY, 1, 'new')).toBe(1);
  });

  it('share one rate, whichever of the carrier’s addresses they go to', () => {
    const { leaving } = start();
    leaving(GATEWAY, 10_000, 'holder');
    expect(leaving('100.64.0.2', 10_000, 'holder')).toBe(0);
  });

  it('leave at the defaults as fast as 20 commands/s are answered, all day long', () => {
    const { clock, rates } = start(100_000);
    let held = 0;
    for (let index = 0; index < 24 * 72_000; index++) {
      clock.now += 50;
      if (rates.take(GATEWAY, GATEWAY) !== undefined) held++;
    }
    expect(held).toBe(0);
  });

  it('that could not leave are given back', () => {
    const { rates, leaving } = start();
    leaving(GATEWAY);
    rates.giveBack(GATEWAY, GATEWAY);
    expect(leaving(GATEWAY)).toBe(1);
  });
});

describe('datagrams to a direct address', () => {
  it('are limited by the second, with a burst of ten seconds', () => {
    const { clock, rates, leaving } = start();
    expect(leaving(PEER)).toBe(100);
    expect(rates.take(PEER, PEER)).toBe('peer-rate');
    clock.now += 1000;
    expect(leaving(PEER)).toBe(10);
  });

  it('have a rate for each address, beside that of the gateway', () => {
    const { leaving } = start();
    leaving(PEER);
    expect([leaving('192.0.2.2'), leaving(GATEWAY)]).toEqual([100, 2700]);
  });

  it('share one rate when there are too many addresses, and none gets a new one by that', () => {
    const { clock, leaving } = start();
    leaving(PEER);
    for (let host = 1; host < MAX_RATED; host++) leaving(`2001:db8::${host}`, 1);
    const inAll = Array.from({ length: 500 }, (_, host) => leaving(`2001:db8:1::${host}`, 1));
    expect(inAll.reduce((sum, one) => sum + one)).toBe(100);
    expect(leaving(PEER)).toBe(0);
    clock.now += 1000;
    // The others that had a rate of their own have not used it.
    expect(leaving('2001:db8:1::1')).toBe(100);
    expect(leaving(PEER)).toBe(10);
  });

  it('of this host have no limit', () => {
    const { leaving } = start();
    expect([leaving('127.0.0.5'), leaving('::1')]).toEqual([10_000, 10_000]);
  });
});

it('new limits hold at once', () => {
  const { rates, leaving } = start();
  leaving(GATEWAY, 600);
  rates.change({ fromSimPerHour: 100, repliesPerSecond: 1 });
  expect([leaving(GATEWAY, 1000, 'other'), leaving(PEER)]).toEqual([75, 10]);
});
