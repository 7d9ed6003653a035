import { describe, expect, it } from 'vitest';
import { compareConfigs, withoutRestart } from '../../../agent/config/changes.js';
import { resolveConfig } from '../../../agent/config/load.js';
import { listSettings } from '../../../agent/config/paths.js';
import type { ConfigInput } from '../../../agent/config/schema.js';

const changes = (before: ConfigInput, after: ConfigInput) =>
  compareConfigs(resolveConfig(before), resolveConfig(after));

/** Each setting that stands alone, with another value than its own. */
const OTHERS: readonly ConfigInput[] = [
  { device: { id: 'other' } },
  { device: { reboot: ['/bin/true'] } },
  { device: { restart: ['/bin/true'] } },
  { listen: { address: '127.0.0.9' } },
  { listen: { ports: [7000] } },
  { listen: { receiveBufferBytes: 65_536 } },
  { gateway: { address: '127.0.0.9' } },
  { gateway: { port: 7000 } },
  { link: { interface: 'wwan9' } },
  { link: { downFor: '9s' } },
  { link: { upFor: '9s' } },
  { modem: { path: '/dev/other' } },
  { modem: { dialect: 'ublox' } },
  { modem: { baudRate: 9600 } },
  { modem: { flowControl: 'rtscts' } },
  { modem: { apn: 'other' } },
  { modem: { pin: '1234' } },
  { link: { policy: 'udp' } },
  { allow: ['10.0.0.0/8'] },
  { security: { unprotected: 'allow' } },
  { security: { required: true } },
  { security: { except: ['ping'] } },
  { security: { keys: '/other' } },
  { events: { key: 'other' } },
  { reply: { to: 'source' } },
  { deadline: { unsynchronized: 'run' } },
  { state: { folder: '/other' } },
  { journal: { keep: '9h' } },
  { journal: { entries: 99 } },
  { journal: { bytes: 99_999 } },
  { journal: { identities: 99 } },
  { outbox: { keep: '9h' } },
  { outbox: { entries: 99 } },
  { outbox: { bytes: 99_999 } },
  { limits: { running: 9 } },
  { limits: { waiting: 9 } },
  { limits: { waitingBytes: 9999 } },
  { limits: { fromSimPerHour: 9 } },
  { limits: { repliesPerSecond: 9 } },
  { limits: { stop: '9s' } },
  { modules: ['/other.mjs'] },
  { control: { socket: '/other.sock' } },
  { metrics: { port: 9999 } },
  { log: { level: 'debug' } },
];

const NEEDS_RESTART = [
  'device.id',
  'listen.address',
  'listen.ports',
  'listen.receiveBufferBytes',
  'gateway.address',
  'gateway.port',
  'state.folder',
  'journal.keep',
  'journal.entries',
  'journal.bytes',
  'journal.identities',
  'outbox.keep',
  'outbox.entries',
  'outbox.bytes',
  'control.socket',
  'metrics.port',
];

describe('compareConfigs for each setting', () => {
  it('names it as changed or as needing a restart', () => {
    const found = OTHERS.map((other) => changes({}, other));
    const names = listSettings().map(({ path }) => path.join('.'));
    expect(found.flatMap(({ changed, needsRestart }) => [...changed, ...needsRestart]).sort()).toEqual(names.sort());
    expect(found.flatMap(({ needsRestart }) => needsRestart)).toEqual(NEEDS_RESTART);
  });

  it('names it again at the next reload when it needs a restart, which withoutRestart defers', () => {
    const before = resolveConfig({});
    for (const other of OTHERS) {
      const next = resolveConfig(other);
      const inForce = withoutRestart(before, next);
      const { needsRestart, changed } = compareConfigs(before, next);
      expect(compareConfigs(before, inForce)).toEqual({ changed, needsRestart: [] });
      expect(compareConfigs(inForce, next)).toEqual({ changed: [], needsRestart });
    }
  });
});

describe('compareConfigs for a handler', () => {
  const program = ['/bin/true'];

  it('names it when it is added, changed or removed', () => {
    const before = { a: { program }, 'b.c': { program }, d: { program } };
    const after = { a: { program }, 'b.c': { program, safe: true }, e: { program } };
    expect(changes({ handlers: before }, { handlers: after })).toEqual({
      changed: ['handlers.b.c', 'handlers.d', 'handlers.e'],
      needsRestart: [],
    });
  });
});

it('compareConfigs names nothing for equal configurations in different notation', () => {
  expect(changes({}, { listen: { ports: [{ port: 6969 }] }, limits: { stop: '10s' }, modules: [] })).toEqual({
    changed: [],
    needsRestart: [],
  });
});

it('a complete configuration is a valid input and resolves to itself', () => {
  for (const other of [{}, ...OTHERS, { handlers: { a: { program: ['/bin/true'] } } }]) {
    const config = resolveConfig(other);
    expect(resolveConfig(config)).toEqual(config);
  }
});
