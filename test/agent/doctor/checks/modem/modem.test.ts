import { join } from 'node:path';
import { describe, expect, it, onTestFinished } from 'vitest';
import { judgeModem, modem } from '../../../../../agent/doctor/checks/modem/modem.js';
import { serial } from '../../../../../agent/doctor/checks/modem/serial.js';
import { SupersimError } from '../../../../../shared/errors.js';
import { start as startLoopback } from '../../../../loopback/support.js';
import { temporaryFolder, writeFile } from '../../../../support/files.js';
import { needs } from '../../../../support/needs.js';
import { program, startProcess } from '../../../../support/process.js';
import { linkPath, openPty } from '../../../../support/pty.js';
import { environment } from '../../../cli/support.js';
import { expectJudgements, run } from '../../support.js';

const at = (path: string, more: object = {}) => ({ modem: { path, ...more }, link: { policy: 'udp' as const } });

/** A virtual modem that has attached. */
async function startModem() {
  const path = linkPath();
  const { modem: virtual, events } = await startLoopback({ modem: { dialect: 'quectel', path } });
  await events.take((event) => event.type === 'sim' && event.state === 'active');
  if (virtual === undefined) throw new Error('the loopback has no modem');
  return { path, virtual };
}

describe.skipIf(needs('python3', 'node-pty'))('the doctor’s modem check', () => {
  it('does not apply without a configured modem', async () => {
    expect(await run(modem)).toMatchObject([{ severity: 'note' }]);
  });

  it('opens the port while no agent uses it', async () => {
    const { path } = await startModem();
    expect(await run(modem, at(path))).toMatchObject([
      { severity: 'good', looked: expect.stringContaining('by its port'), found: expect.stringContaining('23415') },
      { severity: 'good', found: 'signal -97 dBm' },
    ]);
  });

  it('reports the state of the SIM, the network and the signal', async () => {
    const { path, virtual } = await startModem();
    virtual.setSignal(-125);
    expect(await run(modem, at(path))).toContainEqual(
      expect.objectContaining({ severity: 'warning', remedy: expect.stringContaining('antenna') }),
    );
    virtual.setRegistration('denied');
    expect((await run(modem, at(path)))[0]).toMatchObject({
      severity: 'error',
      remedy: expect.stringContaining('SIM is active'),
    });
    virtual.setRegistration('searching');
    expect((await run(modem, at(path)))[0]).toMatchObject({ severity: 'error', code: 'link-down' });
    virtual.setSim('pin');
    expect((await run(modem, at(path)))[0]).toMatchObject({
      severity: 'error',
      remedy: expect.stringContaining('modem.pin'),
    });
    virtual.setSim('absent');
    expect((await run(modem, at(path)))[0]).toMatchObject({
      severity: 'error',
      found: expect.stringContaining('SIM not inserted'),
    });
  }, 40_000);

  it('reports a silent modem, and a port that another process has open', async () => {
    const silent = linkPath();
    await openPty(silent);
    expect(await run(modem, at(silent))).toMatchObject([{ severity: 'error', code: 'modem-silent' }]);
    const locked = linkPath();
    const { pid } = await openPty(locked, 'locked');
    expect(await run(modem, at(locked))).toMatchObject([
      { severity: 'error', code: 'modem-port-busy', found: expect.stringContaining(`pid ${pid}`) },
    ]);
  });

  it('asks through the agent while that uses the modem, without disturbing it', async () => {
    const { path, virtual } = await startModem();
    const folder = temporaryFolder();
    const socket = join(folder, 'control.sock');
    const config = { modem: { path }, link: { policy: 'modem' as const }, control: { socket }, state: { folder } };
    const file = writeFile(folder, 'config.yaml', JSON.stringify(config));
    const agent = startProcess(process.execPath, [program('supersim-agent'), 'run', '--config', file], environment());
    onTestFinished(() => agent.kill('SIGKILL'));
    await agent.line(/"modem up"/);
    expect(await run(serial, config)).toMatchObject([{ severity: 'good' }]);
    expect(await run(modem, config)).toMatchObject([
      { severity: 'good', looked: expect.stringContaining('through the agent') },
      { severity: 'good', found: 'signal -97 dBm' },
    ]);
    virtual.setSignal(-130);
    expect(await run(modem, config)).toContainEqual(expect.objectContaining({ severity: 'warning' }));
    expect(agent.output()).not.toContain('"modem down"');
  }, 60_000);
});

type Observation = Parameters<typeof judgeModem>[0];

const HOME = { sim: 'READY', registration: 'home' as const, attached: true, signalDbm: -80, apn: 'super' };
const ATTACHED: Observation = { path: '/dev/ttyUSB2', via: 'port', apn: 'super', hasPin: false, modem: HOME };
const network = (change: Partial<typeof HOME> | object): Partial<Observation> => ({ modem: { ...HOME, ...change } });
const GOOD = /^good: registered \(home\)/;
const SIGNAL = /^good: signal -80 dBm$/;

describe('judgeModem', () => {
  it.each<[string, Partial<Observation>, RegExp[]]>([
    ['an attached modem', {}, [/^good: registered \(home\), attached$/, SIGNAL]],
    [
      'an attached modem with operator and address',
      network({ registration: 'roaming', operator: 'Loop', address: '10.64.3.4' }),
      [/^good: registered \(roaming\) with Loop, attached, 10\.64\.3\.4$/, SIGNAL],
    ],
    ['no configured modem', { path: undefined, modem: undefined }, [/^note: no modem configured → .*modem probe/]],
    ['no answer', { modem: undefined }, [/^note: no answer$/]],
    [
      'an error',
      { modem: new SupersimError('modem-silent', 'nothing answers') },
      [/^error modem-silent: nothing answers → /],
    ],
    [
      'a SIM that asks for a PIN',
      network({ sim: 'SIM PIN' }),
      [/^error: the SIM asks for its PIN → Set `modem\.pin`/, SIGNAL],
    ],
    [
      'a SIM that asks for a PIN by an error',
      network({ sim: '+CME ERROR: 11' }),
      [/^error: the SIM asks for its PIN → /, SIGNAL],
    ],
    [
      'a SIM that did not accept the PIN',
      { ...network({ sim: 'SIM PIN' }), hasPin: true },
      [/^error: .*not accepted `modem\.pin` → Correct/, SIGNAL],
    ],
    ['a SIM that asks for its PUK', network({ sim: 'SIM PUK' }), [/^error: the SIM is locked.*AT\+CPIN=/, SIGNAL]],
    [
      'a SIM that asks for its PUK by an error',
      network({ sim: '+CME ERROR: 12' }),
      [/^error: the SIM is locked/, SIGNAL],
    ],
    [
      'a missing SIM',
      network({ sim: '+CME ERROR: 10' }),
      [/^error: the SIM cannot be used: .*SIM not inserted.* → Check that the SIM/, SIGNAL],
    ],
    [
      'a denied registration',
      network({ registration: 'denied' }),
      [/^error: the network denied registration.*SIM is active/, SIGNAL],
    ],
    [
      'a modem that searches',
      network({ registration: 'searching' }),
      [/^error link-down: not registered .*\(searching\) → /, SIGNAL],
    ],
    ['an idle modem', network({ registration: 'idle' }), [/^error link-down: .*\(idle\)/, SIGNAL]],
    ['an unknown registration', network({ registration: 'unknown' }), [/^error link-down: .*\(unknown\)/, SIGNAL]],
    [
      'a modem that is not attached',
      network({ attached: false }),
      [/^error link-down: .*not attached.* → .*83401/, SIGNAL],
    ],
    ['an unknown APN', network({ apn: undefined }), [GOOD, SIGNAL]],
    ['the APN in capitals', network({ apn: 'SUPER' }), [GOOD, SIGNAL]],
    ['the APN with the operator’s code', network({ apn: 'super.MNC015.MCC234.GPRS' }), [GOOD, SIGNAL]],
    ['another APN', network({ apn: 'internet' }), [GOOD, /^warning: its APN is internet instead of super → /, SIGNAL]],
    ['an unknown signal', network({ signalDbm: undefined }), [GOOD, /^note: signal unknown$/]],
    ['the weakest good signal', network({ signalDbm: -115 }), [GOOD, /^good: signal -115 dBm$/]],
    ['a weak signal', network({ signalDbm: -116 }), [GOOD, /^warning: weak signal: -116 dBm → /]],
  ])('judges %s', (_what, change, expected) => {
    expectJudgements(judgeModem({ ...ATTACHED, ...change }), expected);
  });
});
