import { describe, expect, it } from 'vitest';
import { temporaryFolder, writeFile } from '../../../support/files.js';
import { P12, P12_HEX } from '../../transport/modem/support.js';
import { supersimAgent } from '../support.js';

const record = (dir: 'tx' | 'rx', text: string, t = 0) =>
  JSON.stringify({ t, dir, hex: Buffer.from(text, 'latin1').toString('hex') });
const LOG = [
  record('tx', 'AT+QIOPEN=1,0,"UDP SERVICE","127.0.0.1",0,6969,0\r'),
  record('rx', '\r\nOK\r\n\r\n+QIOPEN: 0,0\r\n\r\n+QIURC: "rec'),
  record('rx', 'v",0\r\n'),
  record('tx', 'AT+QI'),
  record('tx', 'RD=0\r'),
  record('rx', `\r\n+QIRD: 12,"100.64.0.1",6969\r\n${P12}\r\n\r\nOK\r\n`),
  record('tx', 'AT+QISEND=0,12,"100.64.0.1",6969\r'),
  record('rx', '\r\n> '),
  record('tx', P12),
  record('rx', '\r\nSEND FAIL\r\n\r\n+QIURC: "closed",0\r\n\r\nRDY\r\n'),
];
const UNDERSTOOD = [
  { kind: 'result', command: 'AT+QIOPEN=1,0,"UDP SERVICE","127.0.0.1",0,6969,0', ok: true, result: 'OK', lines: [] },
  { kind: 'opened', socket: 0, ok: true },
  { kind: 'pending', socket: 0 },
  { kind: 'datagram', socket: 0, address: '100.64.0.1', port: 6969, hex: P12_HEX },
  { kind: 'result', command: 'AT+QIRD=0', ok: true, result: 'OK', lines: [] },
  { kind: 'sent', socket: 0, ok: false, error: 'SEND FAIL' },
  { kind: 'closed', socket: 0 },
  { kind: 'urc', line: 'RDY' },
];

const logFile = (...lines: readonly string[]) => writeFile(temporaryFolder(), 'modem.log', lines.join('\n'));
const linesOf = (stdout: string): unknown[] =>
  stdout
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => JSON.parse(line));

describe('supersim-agent modem replay', () => {
  it('prints the recognised events as JSON lines, and exits with 0', async () => {
    const { code, stdout, stderr } = await supersimAgent([
      'modem',
      'replay',
      '--dialect',
      'quectel',
      logFile(...LOG, ''),
    ]);
    expect(stderr).toBe('');
    expect(linesOf(stdout)).toEqual(UNDERSTOOD);
    expect(code).toBe(0);
  });

  it('reads stdin', async () => {
    const { code, stdout } = await supersimAgent(
      ['modem', 'replay', '--dialect', 'quectel', '-'],
      '',
      {},
      LOG.join('\r\n'),
    );
    expect(linesOf(stdout)).toEqual(UNDERSTOOD);
    expect(code).toBe(0);
  });

  it('exits with 1 when bytes were discarded, and prints which and why', async () => {
    const log = logFile(record('rx', '\0\xff\r\nRDY\r\n'), record('rx', '\r\n+QIURC: "re'));
    const { code, stdout } = await supersimAgent(['modem', 'replay', '--dialect', 'quectel', log]);
    expect(linesOf(stdout)).toEqual([
      { kind: 'discarded', hex: '00ff', why: 'noise' },
      { kind: 'urc', line: 'RDY' },
      { kind: 'discarded', hex: Buffer.from('+QIURC: "re').toString('hex'), why: 'incomplete' },
    ]);
    expect(code).toBe(1);
  });

  it('discards a payload after two seconds without a byte', async () => {
    const log = logFile(record('rx', '\r\n+CAURC: "recv",0,12\r\nabc', 0), record('rx', '\r\n+CADATAIND: 0\r\n', 2500));
    const { code, stdout } = await supersimAgent(['modem', 'replay', '--dialect', 'simcom7080', log]);
    expect(linesOf(stdout)).toEqual([
      { kind: 'discarded', hex: '616263', why: 'incomplete' },
      { kind: 'pending', socket: 0 },
    ]);
    expect(code).toBe(1);
  });

  it.each([
    ['no JSON', 'what'],
    ['another direction', '{"t":1,"dir":"up","hex":"00"}'],
    ['half a byte', '{"t":1,"dir":"rx","hex":"0"}'],
    ['no time', '{"dir":"rx","hex":"00"}'],
  ])('exits with 2 at a line with %s, and names it', async (_what, line) => {
    const { code, stdout, stderr } = await supersimAgent([
      'modem',
      'replay',
      '--dialect',
      'quectel',
      logFile(...LOG, line),
    ]);
    expect(stderr).toMatch(/^error bad-input: line 11 /);
    expect(linesOf(stdout)).toEqual(UNDERSTOOD);
    expect(code).toBe(2);
  });

  it.each([['/nowhere/modem.log'], ['/tmp']])('exits with 2 when %s cannot be read', async (file) => {
    const { code, stderr } = await supersimAgent(['modem', 'replay', '--dialect', 'quectel', file]);
    expect(stderr).toMatch(/^error bad-input: /);
    expect(code).toBe(2);
  });

  it.each([
    [['modem']],
    [['modem', 'replay', '--dialect', 'quectel']],
    [['modem', 'replay', 'file']],
    [['modem', 'replay', '--dialect', 'hayes', 'file']],
    [['modem', 'replay', '--dialect', 'quectel', '--bogus', 'file']],
  ])('exits with 2 for wrong arguments: %j', async (args) => {
    const { code, stdout, stderr } = await supersimAgent(args);
    expect(code).toBe(2);
    expect(stdout).toBe('');
    expect(stderr).toContain('Options:');
  });
});
