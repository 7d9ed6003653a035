import { describe, expect, it } from 'vitest';
import { sidOf } from '../../../../sender/security/keys/known-keys.js';
import { recordedSims, recordSim } from '../../../../sender/security/keys/sims.js';
import { makeKeyStore, simOf } from '../../../support/keys.js';

describe('the SIMs with keys', () => {
  it('are known by the names that they were recorded with last', () => {
    const { store } = makeKeyStore();
    const [one, two] = [simOf(1), simOf(2)];
    recordSim(store, one);
    recordSim(store, two);
    const renamed = { ...two, uniqueName: one.uniqueName };
    recordSim(store, renamed);
    expect(recordedSims(store)).toEqual([{ ...one, uniqueName: undefined }, renamed]);
    const moved = { ...one, iccid: two.iccid };
    recordSim(store, { ...moved, uniqueName: undefined });
    expect(recordedSims(store)).toEqual([
      { ...moved, uniqueName: undefined },
      { ...renamed, iccid: undefined },
    ]);
    expect(sidOf(store, { uniqueName: one.uniqueName })).toBe(two.sid);
    expect(sidOf(store, { iccid: two.iccid })).toBe(one.sid);
    expect(sidOf(store, {})).toBeUndefined();
  });

  it('are found by a SID before a unique name, and by that before an ICCID', () => {
    const { store } = makeKeyStore();
    recordSim(store, { sid: 'HS1', iccid: 'x' });
    recordSim(store, { sid: 'HS2', uniqueName: 'x' });
    const called = (name: string) => sidOf(store, { sid: name, uniqueName: name, iccid: name });
    expect(called('x')).toBe('HS2');
    recordSim(store, { sid: 'x' });
    expect(called('x')).toBe('x');
  });
});
