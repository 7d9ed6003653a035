import { platform } from 'node:os';
import { expect, test } from 'vitest';
import { parseSimsFile, resolveSims } from '../../../loopback/account/sims.js';

test('a sims file needs only names', () => {
  const sims = resolveSims(
    parseSimsFile(`
- name: pump
- name: valve
  fleet: north
  state: inactive
- name: boiler
  address: 192.168.1.20
  sid: HS${'a'.repeat(32)}
  iccid: "89883070000123456789"
`),
  );
  const first = platform() === 'linux' ? 2 : 1;
  expect(sims).toMatchObject([
    { uniqueName: 'pump', address: `127.0.0.${first}`, fleetName: 'fleet-1', state: 'active' },
    { uniqueName: 'valve', address: `127.0.0.${first + 1}`, fleetName: 'north', state: 'inactive' },
    { address: '192.168.1.20', sid: `HS${'a'.repeat(32)}`, iccid: '89883070000123456789' },
  ]);
  expect(sims[0]?.fleetSid).not.toBe(sims[1]?.fleetSid);
});

test('SIDs and ICCIDs are derived from the names and survive a restart', () => {
  const [once, again] = [resolveSims([{ name: 'a' }, { name: 'b' }]), resolveSims([{ name: 'x' }, { name: 'b' }])];
  expect(again[1]).toEqual(once[1]);
  expect(once[0]?.sid).toMatch(/^HS[0-9a-f]{32}$/);
  expect(once[0]?.fleetSid).toMatch(/^HF[0-9a-f]{32}$/);
  expect(once[0]?.iccid).toMatch(/^8988307\d{13}$/);
  expect(once[0]?.sid).not.toBe(once[1]?.sid);
});

test('addresses continue beyond 127.0.0.255', () => {
  const sims = resolveSims(Array.from({ length: 300 }, (_, index) => ({ name: `sim-${index}` })));
  expect(sims.at(-1)?.address).toBe(platform() === 'linux' ? '127.0.1.45' : '127.0.1.44');
});

test.each([
  ['one name twice', '[{name: a}, {name: a}]'],
  ['one address twice', '[{name: a, address: 127.0.0.9}, {name: b, address: 127.0.0.9}]'],
  ['one ICCID twice', '[{name: a, iccid: "89883070000123456789"}, {name: b, iccid: "89883070000123456789"}]'],
  ['an unknown key', '[{name: a, adress: 127.0.0.9}]'],
  ['no name', '[{address: 127.0.0.9}]'],
  ['an address that is none', '[{name: a, address: 127.0.0}]'],
  ['a SID of another kind', `[{name: a, sid: HG${'a'.repeat(32)}}]`],
  ['an empty list', '[]'],
  ['an empty file', ''],
  ['no YAML', '[{'],
])('%s is refused', (_, text) => {
  expect(() => resolveSims(parseSimsFile(text))).toThrow(expect.objectContaining({ code: 'bad-input' }));
});
