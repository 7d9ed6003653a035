import { describe, expect, it } from 'vitest';
import { DIALECTS } from '../../../../../agent/transport/modem/dialects/index.js';
import { bringUp, type RadioPermit } from '../../../../../agent/transport/modem/scripts/bring-up.js';
import { checkHealth } from '../../../../../agent/transport/modem/scripts/health.js';
import { cycleRadio, identify } from '../../../../../agent/transport/modem/scripts/identify.js';
import { BASICS, play } from '../scripted-modem.js';

const FREE: RadioPermit = { allowed: () => true, used: () => undefined };
const BRING_UP = { apn: 'super', flowControl: 'none', permit: FREE } as const;

describe('the scripts of a bring-up', () => {
  it('identify a modem that needs several ATs, and fail as silent without an answer', () => {
    const { run, written } = play([[/^AT$/, '', '', '\r\nOK\r\n'], [/^AT\+CGMM/, '\r\nEC25\r\n\r\nOK\r\n'], ...BASICS]);
    expect(run(identify()).value).toEqual({ model: 'EC25', firmware: 'R1.0', imei: '860000000000001' });
    expect(written.slice(0, 4)).toEqual(['AT\r', 'AT\r', 'AT\r', 'ATE0\r']);
    expect(play([[/./, '']]).run(identify()).error).toMatchObject({ fault: 'silent' });
  });

  it('wait for SIM and registration, set the APN once, and cycle the radio for it', () => {
    const { run, written } = play(BASICS, 'quectel');
    expect(run(bringUp(DIALECTS.quectel, BRING_UP)).value).toEqual({
      iccid: '8988307000000000001',
      registration: 'roaming',
      deferred: [],
    });
    expect(written.filter((text) => /CFUN=|CGDCONT=/.test(text))).toEqual([
      'AT+CGDCONT=1,"IP","super"\r',
      'AT+CFUN=4\r',
      'AT+CFUN=1\r',
    ]);
  });

  it('leave APN and radio alone when they are set already', () => {
    const { run, written } = play(
      [[/^AT\+CGDCONT\?/, '\r\n+CGDCONT: 1,"IP","super.mnc088.mcc234.gprs","",0,0\r\n\r\nOK\r\n'], ...BASICS],
      'quectel',
    );
    expect(run(bringUp(DIALECTS.quectel, BRING_UP)).value).toMatchObject({ registration: 'roaming' });
    expect(written.filter((text) => /CFUN=|CGDCONT=/.test(text))).toEqual([]);
  });

  it('compare the APN without regard to case', () => {
    const { run, written } = play(
      [[/^AT\+CGDCONT\?/, '\r\n+CGDCONT: 1,"IP","SUPER","",0,0\r\n\r\nOK\r\n'], ...BASICS],
      'quectel',
    );
    expect(run(bringUp(DIALECTS.quectel, { ...BRING_UP, apn: 'Super' })).value).toMatchObject({ deferred: [] });
    expect(written.filter((text) => /CFUN=|CGDCONT=/.test(text))).toEqual([]);
  });

  it('defer settings for which the radio may not be cycled, and return their commands', () => {
    const { run, written } = play([[/CNMP\?/, '\r\n+CNMP: 2\r\n\r\nOK\r\n'], ...BASICS], 'simcom7080');
    const permit: RadioPermit = { allowed: () => false, used: () => expect.unreachable() };
    expect(run(bringUp(DIALECTS.simcom7080, { ...BRING_UP, permit })).value).toMatchObject({
      registration: 'roaming',
      deferred: ['AT+CGDCONT=1,"IP","super"', 'AT+CNMP=38', 'AT+CMNB=1'],
    });
    expect(written.filter((text) => /CFUN=|CGDCONT=|CNMP=|CMNB=/.test(text))).toEqual([]);
  });

  it('make a deferred setting as soon as the radio may be cycled, without waiting for the registration', () => {
    let asked = 0;
    let left = 0;
    const permit: RadioPermit = {
      allowed: () => ++asked > 4,
      used: () => void left++,
    };
    const searching = '\r\n+CEREG: 0,2\r\n\r\nOK\r\n';
    const { run, written, clock } = play(
      [[/^AT\+CEREG\?/, ...Array(6).fill(searching), '\r\n+CEREG: 0,5\r\n\r\nOK\r\n'], ...BASICS],
      'quectel',
    );
    expect(run(bringUp(DIALECTS.quectel, { ...BRING_UP, permit })).value).toMatchObject({ deferred: [] });
    expect(written.filter((text) => /CFUN=|CGDCONT=/.test(text))).toHaveLength(3);
    expect(left).toBe(1);
    expect(clock()).toBeLessThan(60_000);
  });

  it('make all settings of a modem whose radio is off', () => {
    const { run, written } = play([[/^AT\+CFUN\?/, '\r\n+CFUN: 4\r\n\r\nOK\r\n'], ...BASICS], 'quectel');
    const permit: RadioPermit = { allowed: () => false, used: () => expect.unreachable() };
    expect(run(bringUp(DIALECTS.quectel, { ...BRING_UP, permit })).value).toMatchObject({ deferred: [] });
    expect(written.filter((text) => /CFUN=|CGDCONT=/.test(text))).toEqual([
      'AT+CGDCONT=1,"IP","super"\r',
      'AT+CFUN=1\r',
    ]);
  });

  it.each([
    ['quectel', 'none', 'AT+IFC=0,0'],
    ['quectel', 'rtscts', 'AT+IFC=2,2'],
    ['ublox', 'none', 'AT&K0'],
    ['ublox', 'rtscts', 'AT&K3'],
  ] as const)('set the flow control of %s to that of its port: %s', (name, flowControl, command) => {
    const { run, written } = play(BASICS, name);
    run(bringUp(DIALECTS[name], { ...BRING_UP, flowControl }));
    expect(written).toContain(`${command}\r`);
  });

  it('wait for a slow radio', () => {
    const { run, clock } = play([[/CFUN=/, ''], [/^AT$/, ''], ...BASICS], 'ublox');
    expect(run(cycleRadio(DIALECTS.ublox)).error).toMatchObject({ fault: 'silent' });
    expect(clock()).toBeGreaterThan(180_000);
  });

  it.each([
    ['+CME ERROR: 11', 'sim'],
    ['+CME ERROR: 10', 'sim'],
    ['+CPIN: SIM PIN\r\n\r\nOK', 'sim'],
  ])('fail at the answer %s', (answer, fault) => {
    const { run } = play([[/CPIN/, `\r\n${answer}\r\n`], ...BASICS], 'quectel');
    expect(run(bringUp(DIALECTS.quectel, BRING_UP)).error).toMatchObject({ fault });
  });

  it('fail after three minutes without registration', () => {
    const { run, clock } = play([[/CEREG\?/, '\r\n+CEREG: 0,3\r\n\r\nOK\r\n'], ...BASICS], 'ublox');
    expect(run(bringUp(DIALECTS.ublox, BRING_UP)).error).toMatchObject({ fault: 'registration' });
    expect(clock()).toBeGreaterThan(180_000);
  });

  it('read the health of the modem', () => {
    const health = { registration: 'roaming', signalDbm: -95, operator: '23415', attached: true, address: '10.1.2.3' };
    const { run } = play([[/CEREG\?/, '\r\n+CEREG: 0,5\r\n\r\nOK\r\n'], ...BASICS], 'quectel');
    expect(run(checkHealth()).value).toEqual(health);
    const weak = play(
      [
        [/CESQ/, '\r\n+CESQ: 99,99,255,255,255,255\r\n\r\nOK\r\n'],
        [/CSQ/, '\r\n+CSQ: 21,99\r\n\r\nOK\r\n'],
        [/COPS/, '\r\n+COPS: 0\r\n\r\nOK\r\n'],
        [/CGPADDR/, '\r\n+CGPADDR: 1,"0.0.0.0"\r\n\r\nOK\r\n'],
        [/REG\?/, '\r\n+CEREG: 0,3\r\n\r\nOK\r\n'],
        ...BASICS,
      ],
      'quectel',
    );
    expect(weak.run(checkHealth()).value).toEqual({ registration: 'denied', signalDbm: -71, attached: true });
  });
});
