import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { silentLog } from '../../../../agent/base/log.js';
import { createControlSocket } from '../../../../agent/service/control/socket.js';
import { temporaryFolder } from '../../../support/files.js';
import { program, startProcess } from '../../../support/process.js';
import { fakeTarget } from '../../service/control/support.js';
import { environment, supersimAgent } from '../support.js';

const record = (n: number, text: string) => ({
  n,
  t: n,
  dir: 'tx' as const,
  hex: Buffer.from(text).toString('hex'),
});

/** The control socket of an agent whose modem has been told this. */
async function serve(path: string, run: string, said: readonly string[], from = 1) {
  const records = said.map((text, index) => record(from + index, text));
  const modem = {
    path: '/dev/ttyUSB2',
    run,
    dialect: () => 'quectel',
    at: async () => ['OK'],
    log: (after: number) => records.filter(({ n }) => n > after),
  };
  const control = createControlSocket({ path, target: { ...fakeTarget(), modem }, log: silentLog });
  await control.start();
  return control;
}

const lineOf = (text: string) => new RegExp(`"hex":"${Buffer.from(text).toString('hex')}"`);

describe('supersim-agent modem log', () => {
  it('prints the kept records, also after the first ones were dropped', async () => {
    const path = join(temporaryFolder(), 'control.sock');
    const control = await serve(path, 'a', ['AT\r', 'ATE0\r'], 500);
    const { code, stdout, stderr } = await supersimAgent(['modem', 'log', '--socket', path]);
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
    expect(stdout.trim().split('\n')).toHaveLength(2);
    await control.stop();
  });

  it('continues with --follow at the start of the new log after a restart', async () => {
    const path = join(temporaryFolder(), 'control.sock');
    const first = await serve(path, 'a', ['AT\r', 'AT+CSQ\r', 'AT+CGMM\r']);
    const args = [program('supersim-agent'), 'modem', 'log', '--follow', '--socket', path];
    const follower = startProcess(process.execPath, args, environment());
    await follower.line(lineOf('AT+CGMM\r'));
    await first.stop();
    await follower.line(/^the agent does not answer: waiting for it$/);
    const second = await serve(path, 'b', ['AT\r', 'AT+CREG?\r']);
    await follower.line(/^the agent has restarted: its modem log starts again$/);
    await follower.line(lineOf('AT+CREG?\r'));
    const firsts = follower
      .output()
      .split('\n')
      .filter((line) => lineOf('AT\r').test(line));
    expect(firsts).toHaveLength(2);
    await second.stop();
  });

  it('exits with 1 when no agent answers at first', async () => {
    const path = join(temporaryFolder(), 'control.sock');
    const { code, stderr } = await supersimAgent(['modem', 'log', '--follow', '--socket', path]);
    expect(code).toBe(1);
    expect(stderr).toMatch(/^error control-unreachable: /);
  });
});
