import { describe, expect, it } from 'vitest';
import { type ListSource, pageOf } from '../../../loopback/account/paging.js';
import { createStore, newCommandSid, type StoredCommand, vendorDate } from '../../../loopback/account/store.js';

const SIMS = ['HSa', 'HSb', 'HSc'] as const;

/** The number of a command is its payload. */
const command = (number: number, simSid: string): StoredCommand => ({
  sid: newCommandSid(),
  account_sid: 'AC',
  sim_sid: simSid,
  sim_iccid: '',
  status: 'queued',
  direction: 'to_sim',
  device_ip: null,
  device_port: 1,
  payload: String(number),
  payload_type: 'text',
  date_created: vendorDate(),
  date_updated: vendorDate(),
});

const numbersOf = (list: ListSource<StoredCommand>): number[] =>
  Array.from({ length: list.length }, (_, index) => Number(list.at(index)?.payload));

describe('the store of commands', () => {
  it('lists all commands and those of one SIM, newest first, however many were evicted', () => {
    const store = createStore(10);
    const stored: StoredCommand[] = [];
    for (let number = 0; number < 100; number++) {
      // The last SIM has commands only at the beginning.
      const simSid = SIMS[number < 20 ? number % 3 : number % 2] ?? '';
      stored.push(command(number, simSid));
      store.add(stored[number] ?? command(0, ''));
      const present = stored.slice(-10).reverse();
      expect(numbersOf(store.newestFirst())).toEqual(present.map(({ payload }) => Number(payload)));
      for (const sim of SIMS) {
        const its = present.filter(({ sim_sid }) => sim_sid === sim);
        expect(numbersOf(store.newestFirst(sim))).toEqual(its.map(({ payload }) => Number(payload)));
      }
    }
    expect(store.newestFirst('HSc').length).toBe(0);
  });

  it('shows a changed status in the list of the SIM', () => {
    const store = createStore(10);
    const one = command(1, 'HSa');
    store.add(one);
    store.updateStatus(one.sid, { status: 'sent', device_ip: '10.0.0.1' });
    expect(store.newestFirst('HSa').at(0)).toMatchObject({ status: 'sent', device_ip: '10.0.0.1' });
  });

  it('pages the commands of one SIM, while others come and the oldest go', () => {
    const store = createStore(20);
    for (let number = 0; number < 20; number++) store.add(command(number, number % 2 === 0 ? 'HSa' : 'HSb'));
    const first = pageOf(store.newestFirst('HSa'), () => true, { pageSize: 4, page: 0 });
    expect(first.items.map(({ payload }) => payload)).toEqual(['18', '16', '14', '12']);
    for (let number = 20; number < 26; number++) store.add(command(number, 'HSb'));
    const second = pageOf(store.newestFirst('HSa'), () => true, { pageSize: 4, page: 1, pageToken: first.nextToken });
    expect(second.items.map(({ payload }) => payload)).toEqual(['10', '8', '6']);
    expect(second.nextToken).toBeUndefined();
  });
});
