import { describe, expect, it } from 'vitest';
import type { Ask } from '../../../../agent/service/control/client.js';
import { type ModemLogOptions, printModemLog } from '../../../../agent/service/control/modem-log.js';
import { SupersimError } from '../../../../shared/errors.js';

const hex = (text: string) => Buffer.from(text).toString('hex');

/** Records of what an agent has sent to its modem. */
const records = (...texts: readonly string[]) =>
  texts.map((text, index) => ({ n: index + 1, t: index, dir: 'tx' as const, hex: hex(text) }));

/** Answers of an agent in order: a modem log, or an error. The last one is repeated. */
type Answer = { readonly run: string; readonly records: ReturnType<typeof records> } | SupersimError;

async function print(answers: readonly Answer[], options: ModemLogOptions = {}, dialect = 'quectel') {
  const left = [...answers];
  const paths: string[] = [];
  const ask: Ask = async (_method, path, schema) => {
    paths.push(path);
    if (path === '/modem') return schema.parse({ path: '/dev/ttyUSB2', dialect });
    const answer = left.shift();
    if (answer === undefined) throw new Error('interrupted');
    if (answer instanceof SupersimError) throw answer;
    const after = Number(new URLSearchParams(path.split('?')[1]).get('after'));
    return schema.parse({ ...answer, records: answer.records.filter(({ n }) => n > after) });
  };
  const lines: string[] = [];
  const notices: string[] = [];
  const error = await printModemLog(ask, (line) => lines.push(line), {
    ...options,
    notify: (text) => notices.push(text),
  }).catch((thrown: unknown) => thrown);
  return { paths, notices, error, shown: lines.map((line) => JSON.parse(line)) };
}

const GONE = new SupersimError('control-unreachable', 'no agent');

describe('printModemLog', () => {
  it('prints the records without their numbers until there are no more', async () => {
    const log = { run: 'a', records: records('AT\r', 'ATE0\r') };
    const { shown, paths, error } = await print([log, log]);
    expect(error).toBeUndefined();
    expect(shown).toEqual([
      { t: 0, dir: 'tx', hex: hex('AT\r') },
      { t: 1, dir: 'tx', hex: hex('ATE0\r') },
    ]);
    expect(paths).toEqual(['/modem/log?after=0', '/modem', '/modem/log?after=2']);
  });

  it.each(['quectel', 'unknown'])('masks payloads of the dialect %s unless they are asked for', async (dialect) => {
    const log = { run: 'a', records: records(`AT+QISENDEX=1,"${hex('secret')}"\r`) };
    const masked = await print([log, log], {}, dialect);
    expect(JSON.stringify(masked.shown)).not.toContain(hex(hex('secret')));
    const readable = await print([log, log], { payloads: true }, dialect);
    expect(JSON.stringify(readable.shown)).toContain(hex(hex('secret')));
  });

  it('rejects when no agent answers', async () => {
    expect((await print([GONE])).error).toBe(GONE);
    expect((await print([GONE], { follow: true })).error).toBe(GONE);
  });

  it('follows the log across a restart of the agent', async () => {
    const first = { run: 'a', records: records('AT\r', 'AT+CSQ\r') };
    const second = { run: 'b', records: records('AT+CGMM\r') };
    const { shown, notices } = await print([first, first, GONE, GONE, second, second, second], { follow: true });
    expect(shown.map((record) => record.hex)).toEqual(['AT\r', 'AT+CSQ\r', 'AT+CGMM\r'].map(hex));
    expect(notices).toEqual([
      'the agent does not answer: waiting for it',
      'the agent has restarted: its modem log starts again',
    ]);
  });
});
