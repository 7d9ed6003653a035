import { expect, it } from 'vitest';
import { readRunFlags } from '../../../../agent/cli/run/flags.js';

it('readRunFlags parses the flags of run like yargs', () => {
  const args =
    'run --config c.yaml --port 6969 --port=7000 --address wwan0 --gateway 1.2.3.4:5 --log-level=debug --dev';
  expect(readRunFlags(args.split(' '))).toEqual({
    config: 'c.yaml',
    port: [6969, 7000],
    address: 'wwan0',
    gateway: '1.2.3.4:5',
    'log-level': 'debug',
    dev: true,
  });
  expect(readRunFlags(['run'])).toEqual({});
});

it.each([
  [],
  ['try', 'ping'],
  ['--help'],
  ['run', '--help'],
  ['run', '--prot', '1'],
  ['run', '--port', 'x'],
  ['run', 'ping'],
])('readRunFlags leaves %j %j to yargs', (...args) => {
  expect(readRunFlags(args.filter((arg) => arg !== undefined))).toBeUndefined();
});
