import { describe, expect, it } from 'vitest';
import type { DialectName } from '../../../../../agent/config/dialect-names.js';
import { createEngine, type EngineEffect } from '../../../../../agent/transport/modem/at/engine.js';
import type { ModemEvent } from '../../../../../agent/transport/modem/at/modem-event.js';
import type { Script } from '../../../../../agent/transport/modem/at/script.js';
import { DIALECTS, dialectOf, PLAIN } from '../../../../../agent/transport/modem/dialects/index.js';
import { lineMatching, sendDatagram } from '../../../../../agent/transport/modem/dialects/sockets.js';
import { bringUp, type RadioPermit } from '../../../../../agent/transport/modem/scripts/bring-up.js';
import { checkHealth } from '../../../../../agent/transport/modem/scripts/health.js';
import { cycleRadio, identify, reset } from '../../../../../agent/transport/modem/scripts/identify.js';
import { P12 } from '../support.js';

const GATEWAY = { address: '100.64.0.1', port: 6969 };
const FREE: RadioPermit = { allowed: () => true, used: () => undefined };
const BRING_UP = { apn: 'super', flowControl: 'none', permit: FREE } as const;

/** What a modem answers: the first pattern that fits a command; each answer of a list once, the last for ever. */
type Answers = readonly (readonly [command: RegExp, ...answers: string[]])[];

const BASICS: Answers = [
  [/^AT$|^ATE0|^AT\+(?:CMEE|CPSMS|CEDRXS)=/, '\r\nOK\r\n'],
  [/^AT\+CGMR/, '\r\nR1.0\r\n\r\nOK\r\n'],
  [/^AT\+CGSN/, '\r\n860000000000001\r\n\r\nOK\r\n'],
  [/^AT\+CPIN\?/, '\r\n+CME ERROR: 14\r\n', '\r\n+CPIN: READY\r\n\r\nOK\r\n'],
  [/^AT\+QCCID/, '\r\n+QCCID: 8988307000000000001F\r\n\r\nOK\r\n'],
  [/^AT\+CICCID/, '\r\n+ICCID: 8988307000000000001\r\n\r\nOK\r\n'],
  [/^AT\+CGDCONT\?/, '\r\n+CGDCONT: 1,"IP","other","0.0.0.0",0,0\r\n\r\nOK\r\n'],
  [/^AT\+CGDCONT=1,"IP","super"/, '\r\nOK\r\n'],
  [/^AT\+CFUN\?/, '\r\n+CFUN: 1\r\n\r\nOK\r\n'],
  [/^AT\+CFUN=/, '\r\nOK\r\n'],
  [/^AT\+CEREG\?/, '\r\n+CEREG: 0,2\r\n\r\nOK\r\n', '\r\n+CEREG: 0,5\r\n\r\nOK\r\n'],
  [/^AT\+C(?:G)?REG\?/, '\r\nERROR\r\n'],
  [/^AT\+CGATT\?/, '\r\n+CGATT: 1\r\n\r\nOK\r\n'],
  [/^AT\+CESQ/, '\r\n+CESQ: 99,99,255,255,20,46\r\n\r\nOK\r\n'],
  [/^AT\+COPS\?/, '\r\n+COPS: 0,2,"23415",7\r\n\r\nOK\r\n'],
  [/^AT\+CGPADDR=1/, '\r\n+CGPADDR: 1,10.1.2.3\r\n\r\nOK\r\n'],
];

/** A modem on strings: enough to answer what is asked, in one piece and at once. */
function play(answers: Answers, dialect?: DialectName) {
  const engine = createEngine(dialect === undefined ? PLAIN : DIALECTS[dialect].grammar);
  const written: string[] = [];
  const events: ModemEvent[] = [];
  const turns = new Map<RegExp, number>();
  let now = 0;

  function reply(bytes: Buffer): string {
    const command = bytes.toString('latin1').replace(/\r$/, '');
    for (const [pattern, ...all] of answers) {
      if (!pattern.test(command)) continue;
      const turn = turns.get(pattern) ?? 0;
      turns.set(pattern, turn + 1);
      return all[Math.min(turn, all.length - 1)] ?? '';
    }
    return '\r\nERROR\r\n';
  }

  function carryOut(effects: readonly EngineEffect[]): void {
    for (const effect of effects) {
      if (effect.type === 'event') events.push(effect.event);
      if (effect.type === 'ended') effect.run();
      if (effect.type !== 'write') continue;
      written.push(effect.bytes.toString('latin1'));
      const answer = reply(effect.bytes);
      now += 10;
      if (answer !== '') carryOut(engine.receive(Buffer.from(answer, 'latin1'), now));
    }
  }

  /** Runs a script to its end; time passes as it asks. */
  function run<T>(script: Script<T>): { value?: T; error?: unknown } {
    const outcome: { value?: T; error?: unknown; ended?: true } = {};
    const end = (result: { value?: T; error?: unknown }) => Object.assign(outcome, result, { ended: true });
    carryOut(
      engine.run(
        script,
        (value) => end({ value }),
        (error) => end({ error }),
        now,
      ),
    );
    for (let i = 0; i < 3000 && !outcome.ended; i++) {
      now = Math.max(now, engine.wakeAt());
      carryOut(engine.tick(now));
    }
    expect(outcome.ended).toBe(true);
    expect(engine.isIdle()).toBe(true);
    return outcome;
  }
  return { run, written, events, engine, carryOut, clock: () => now };
}

describe('dialectOf', () => {
  it.each([
    ['EC25', 'quectel'],
    ['BG96', 'quectel'],
    ['BG95-M3', 'quectel'],
    ['EG25', 'quectel'],
    ['EG91', 'quectel'],
    ['SIMCOM_SIM7600G-H', 'simcom7600'],
    ['A7670E-FASE', 'simcom7600'],
    ['SIM7500A', 'simcom7600'],
    ['SIM7080', 'simcom7080'],
    ['SIMCOM_SIM7070G', 'simcom7080'],
    ['SARA-R410M-02B', 'ublox'],
    ['SARA-R510S', 'ublox'],
    ['LARA-R211', 'ublox'],
  ])('returns the dialect of the model %s: %s', (model, name) => {
    expect(dialectOf(model)).toBe(name);
  });

  it.each([
    'SIMCOM_SIM7000G',
    'SIM800L',
    'Quectel_M95',
    'M95',
    'UG96',
    'BC95-G',
    'BC66',
    'nRF9160-SICA',
    'ME910C1-E1',
    'LE910C4-NF',
    'HL7802',
    '',
  ])('refuses the model %s', (model) => {
    expect(() => dialectOf(model)).toThrowError(expect.objectContaining({ code: 'modem-unknown' }));
  });
});

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

/** No command, and no CR alone. */
const PAYLOAD = /^[^A\r]/;
const BYTES = Buffer.from(Array.from({ length: 1300 }, (_, index) => index % 256));

/** Each dialect: its modem's answers from the context to a send and a read, and what has to be among the commands. */
const LIVES: readonly {
  name: DialectName;
  answers: Answers;
  size: number;
  pushed?: string;
  commands: readonly string[];
}[] = [
  {
    name: 'quectel',
    size: 1300,
    answers: [
      [/^AT\+QIACT\?/, '\r\nOK\r\n'],
      [/^AT\+(?:QISDE|QICFG|QURCCFG|QICSGP|QIACT|QICLOSE)=/, '\r\nOK\r\n'],
      [/^AT\+QIOPEN=/, '\r\nOK\r\n\r\n+QIOPEN: 0,563\r\n', '\r\nOK\r\n\r\n+QIOPEN: 0,0\r\n'],
      [/^AT\+QISEND=/, '\r\n> '],
      [PAYLOAD, '\r\nSEND FAIL\r\n', '\r\nSEND OK\r\n'],
      [/^AT\+QIRD=0,0/, '\r\n+QIRD: 12,0,12\r\n\r\nOK\r\n'],
      [/^AT\+QIRD=0$/, `\r\n+QIRD: 12,"100.64.0.1",6969\r\n${P12}\r\n\r\nOK\r\n`, '\r\n+QIRD: 0\r\n\r\nOK\r\n'],
    ],
    commands: ['AT+QIOPEN=1,0,"UDP SERVICE","127.0.0.1",0,6969,0\r', 'AT+QISEND=0,1300,"100.64.0.1",6969\r'],
  },
  {
    name: 'simcom7600',
    size: 1300,
    pushed: `\r\nRECV FROM:100.64.0.1:6969\r\n+IPD12\r\n${P12}\r\n`,
    answers: [
      [/^AT\+NETOPEN\?/, '\r\n+NETOPEN: 0\r\n\r\nOK\r\n'],
      [/^AT\+NETOPEN$/, '\r\nOK\r\n\r\n+NETOPEN: 0\r\n'],
      [/^AT\+CIP(?:MODE|SRIP|HEAD|RXGET)=/, '\r\nOK\r\n'],
      [/^AT\+CIPOPEN=/, '\r\n+CIPOPEN: 0,2\r\n\r\nERROR\r\n', '\r\n+CIPOPEN: 0,0\r\n\r\nOK\r\n'],
      [/^AT\+CIPSEND=/, '\r\n>'],
      [PAYLOAD, '\r\nOK\r\n\r\n+CIPSEND: 0,1300,1300\r\n'],
      [/^AT\+CIPCLOSE\?/, '\r\n+CIPCLOSE: 1,0,0,0,0,0,0,0,0,0\r\n\r\nOK\r\n'],
    ],
    commands: ['AT+CIPOPEN=0,"UDP",,,6969\r', 'AT+CIPSEND=0,1300,"100.64.0.1",6969\r'],
  },
  {
    name: 'simcom7080',
    size: 1300,
    answers: [
      [/^AT\+CNACT\?/, '\r\n+CNACT: 0,0,"0.0.0.0"\r\n\r\nOK\r\n'],
      [/^AT\+CNACT=0,1/, '\r\n+APP PDP: 0,ACTIVE\r\n\r\nOK\r\n'],
      [/^AT\+(?:CNCFG|CACFG|CASRIP|CACLOSE)=/, '\r\nOK\r\n'],
      [/^AT\+CASERVER=/, '\r\n+CASERVER: 0,0\r\n\r\nOK\r\n'],
      [/^AT\+CASEND=/, '\r\n>'],
      [PAYLOAD, '\r\nERROR\r\n', '\r\nOK\r\n'],
      [/^AT\+CARECV=/, `\r\n+CARECV: 100.64.0.1,6969,12,${P12}\r\n\r\nOK\r\n`, '\r\n+CARECV: 0\r\n\r\nOK\r\n'],
    ],
    commands: ['AT+CASERVER=0,0,"UDP",6969\r', 'AT+CACFG="REMOTEADDR",0,100.64.0.1,6969\r', 'AT+CASEND=0,1300\r'],
  },
  {
    name: 'ublox',
    size: 1024,
    answers: [
      [/^AT\+(?:UDCONF|USOCL|UPSD)=/, '\r\nOK\r\n'],
      [/^AT\+UPSDA=/, '\r\nOK\r\n\r\n+UUPSDA: 0,"10.1.2.3"\r\n'],
      [/^AT\+USOCR=/, '\r\n+USOCR: 0\r\n\r\nOK\r\n'],
      [/^AT\+USOST=/, '\r\n@'],
      [PAYLOAD, '\r\n+UUSORF: 0,12\r\n\r\nERROR\r\n', '\r\n+USOST: 0,1024\r\n\r\nOK\r\n'],
      [/^AT\+USORF=0,0/, '\r\n+USORF: 0,12\r\n\r\nOK\r\n'],
      [/^AT\+USORF=0,1024/, `\r\n+USORF: 0,"100.64.0.1",6969,12,"${P12}"\r\nOK\r\n`, '\r\n+USORF: 0,""\r\n\r\nOK\r\n'],
    ],
    commands: ['AT+USOCR=17,6969\r', 'AT+USOST=0,"100.64.0.1",6969,1024\r'],
  },
];

describe.each(LIVES)('$name', ({ name, answers, size, pushed, commands }) => {
  const dialect = DIALECTS[name];

  it('activates its context, listens, sends all byte values, receives, and closes', () => {
    const { run, written, events, engine, carryOut, clock } = play([...answers, ...BASICS], name);
    expect(run(dialect.activate('super')).error).toBeUndefined();
    const socket = run(dialect.listen(6969, 0, GATEWAY)).value;
    expect(socket).toBe(0);
    const bytes = BYTES.subarray(0, size);
    expect(dialect.maxSend).toBeGreaterThanOrEqual(size);
    expect(run(sendDatagram(dialect, 0, GATEWAY, bytes, GATEWAY)).error).toBeUndefined();
    // After the busy answer it was written again, whole.
    expect(written.filter((text) => text === bytes.toString('latin1')).length).toBe(name === 'simcom7600' ? 1 : 2);
    if (pushed !== undefined) carryOut(engine.receive(Buffer.from(pushed, 'latin1'), clock()));
    else expect(run(dialect.poll(0)).error).toBeUndefined();
    expect(events.flatMap((event) => (event.kind === 'datagram' ? [event] : []))).toEqual([
      { kind: 'datagram', socket: 0, source: GATEWAY, bytes: Buffer.from(P12, 'latin1') },
    ]);
    expect(run(dialect.close(0)).error).toBeUndefined();
    expect(run(dialect.deactivate()).error).toBeUndefined();
    expect(written).toEqual(expect.arrayContaining([...commands]));
  });

  it('refuses a datagram above the modem’s limit before a byte is written', () => {
    const { run, written } = play([], name);
    const bytes = Buffer.alloc(dialect.maxSend + 1);
    expect(run(sendDatagram(dialect, 0, GATEWAY, bytes, GATEWAY)).error).toMatchObject({ code: 'modem-limit' });
    expect(written).toEqual([]);
  });

  it('names the fault when the modem refuses', () => {
    const { run } = play([[/./, '\r\nERROR\r\n']], name);
    expect(run(dialect.listen(6969, 0, GATEWAY)).error).toMatchObject({ fault: 'socket' });
    expect(run(dialect.send(0, GATEWAY, Buffer.from('x'), GATEWAY)).error).toMatchObject({ fault: 'send' });
    expect(run(dialect.close(0)).error).toBeUndefined();
  });

  it('never writes the payload of a send twice when the modem becomes silent', () => {
    const { run, written } = play([[PAYLOAD, ''], [/^AT$|^\r?$/, '\r\nOK\r\n'], ...answers, ...BASICS], name);
    const bytes = BYTES.subarray(0, 100);
    expect(run(dialect.send(0, GATEWAY, bytes, GATEWAY)).error).toMatchObject({ fault: 'send' });
    expect(written.filter((text) => text === bytes.toString('latin1'))).toHaveLength(1);
  });

  it('fails running and waiting scripts when the port is lost, and writes nothing more', () => {
    const { engine, carryOut, written } = play([[/./, '']], name);
    const failures: unknown[] = [];
    const failed = (error: unknown) => void failures.push(error);
    carryOut(engine.run(dialect.send(0, GATEWAY, Buffer.from('x'), GATEWAY), failed, failed, 0));
    carryOut(engine.run(dialect.poll(0), failed, failed, 0));
    carryOut(engine.run(cycleRadio(dialect), failed, failed, 0));
    const before = written.length;
    carryOut(engine.close(1));
    expect(failures).toHaveLength(3);
    for (const failure of failures) expect(failure).toMatchObject({ fault: 'closed' });
    expect(written).toHaveLength(before);
    expect(engine.isIdle()).toBe(true);
  });

  it('switches the radio off and on, and resets the modem', () => {
    const { run, written } = play([...answers, ...BASICS], name);
    expect(run(cycleRadio(dialect)).error).toBeUndefined();
    expect(run(reset(dialect)).error).toBeUndefined();
    expect(written.map((text) => text.trim())).toEqual(['AT+CFUN=4', 'AT+CFUN=1', dialect.reset]);
  });
});

describe('a dialect with quirks', () => {
  const ok = '\r\nOK\r\n';

  it('simcom7600: checks the settings of the headers, as an OK is not enough', () => {
    const answers: Answers = [
      [/^AT\+CIPHEAD\?/, `\r\n+CIPHEAD: 0\r\n${ok}`, `\r\n+CIPHEAD: 1\r\n${ok}`],
      [/^AT\+CIPSRIP\?/, `\r\n+CIPSRIP: 1\r\n${ok}`],
      [/^AT\+CIP(?:MODE|SRIP|HEAD|RXGET)=/, ok],
      [/^AT\+CIPCLOSE\?/, `\r\n+CIPCLOSE: 0,0,1,0,0,0,0,0,0,0\r\n${ok}`],
      [/^AT\+CIPCLOSE=2/, `\r\n+CIPCLOSE: 2,0\r\n${ok}`],
      [/^AT\+NETCLOSE/, `${ok}\r\n+NETCLOSE: 0\r\n`],
      [/^AT\+NETOPEN\?/, `\r\n+NETOPEN: 1\r\n${ok}`],
    ];
    const { run, written } = play([...answers, ...BASICS], 'simcom7600');
    expect(run(DIALECTS.simcom7600.activate('super')).error).toBeUndefined();
    // The network does not close while a socket is open.
    const closing = written.filter((text) => /CLOSE/.test(text)).map((text) => text.trim());
    expect(closing).toEqual(['AT+CIPCLOSE?', 'AT+CIPCLOSE=2', 'AT+NETCLOSE']);
    expect(written.filter((text) => text.startsWith('AT+CIPHEAD=1'))).toHaveLength(2);
    const never = play([[/^AT\+CIPHEAD\?/, `\r\n+CIPHEAD: 0\r\n${ok}`], ...answers, ...BASICS], 'simcom7600');
    expect(never.run(DIALECTS.simcom7600.activate('super')).error).toMatchObject({ fault: 'refused' });
  });

  it('simcom7600: finds a network that was closed without a URC', () => {
    const answers: Answers = [[/IPADDR/, '\r\n+IP ERROR: Network not opened\r\n\r\nERROR\r\n']];
    const { run } = play([...answers, ...BASICS], 'simcom7600');
    expect(run(DIALECTS.simcom7600.poll(0)).error).toMatchObject({ fault: 'context' });
  });

  it('simcom7080: sets the peer back to the gateway after a send to another destination, also when it failed', () => {
    const { run, written } = play(
      [[/^AT\+CACFG/, ok], [/^AT\+CASEND/, '\r\n>'], [PAYLOAD, ''], [/^AT$|^$/, ok], ...BASICS],
      'simcom7080',
    );
    const to = { address: '10.0.0.9', port: 7 };
    const { error } = run(DIALECTS.simcom7080.send(0, to, Buffer.from('x'), GATEWAY));
    expect(error).toMatchObject({ fault: 'send' });
    expect(written.filter((text) => text.includes('CACFG')).map((text) => text.trim())).toEqual([
      'AT+CACFG="REMOTEADDR",0,10.0.0.9,7',
      'AT+CACFG="REMOTEADDR",0,100.64.0.1,6969',
    ]);
  });

  it('simcom7080: polls the sockets of peers too, and finds a closed socket', () => {
    const states = (own: number) => `\r\n+CASTATE: 0,${own}\r\n\r\n+CASTATE: 3,1\r\n\r\n+CASTATE: 99,1\r\n${ok}`;
    const reads: Answers = [
      [/^AT\+CARECV=3/, `\r\n+CARECV: 12,${P12}\r\n${ok}`, `\r\n+CARECV: 0\r\n${ok}`],
      [/^AT\+CARECV=0/, `\r\n+CARECV: 0\r\n${ok}`],
    ];
    const { run, events, written } = play([[/CASTATE/, states(2)], ...reads, ...BASICS], 'simcom7080');
    expect(run(DIALECTS.simcom7080.poll(0)).error).toBeUndefined();
    expect(events).toContainEqual(expect.objectContaining({ kind: 'datagram', socket: 3 }));
    expect(written.some((text) => text.includes('=99'))).toBe(false);
    const closed = play([[/CASTATE/, states(0)], ...reads, ...BASICS], 'simcom7080');
    expect(closed.run(DIALECTS.simcom7080.poll(0)).error).toMatchObject({ fault: 'socket' });
  });

  it('ublox: repeats a refused send once, after reading the waiting data', () => {
    const { run, written } = play(
      [
        [/^AT\+USOST/, '\r\n@'],
        [PAYLOAD, '\r\nERROR\r\n'],
        [/^AT\+USORF/, `\r\n+USORF: 0,"100.64.0.1",6969,12,"${P12}"\r\n${ok}`, '\r\nERROR\r\n'],
      ],
      'ublox',
    );
    expect(run(DIALECTS.ublox.send(0, GATEWAY, Buffer.from('x'), GATEWAY)).error).toMatchObject({ fault: 'send' });
    const kinds = written.map((text) => (text.startsWith('AT') ? text.slice(0, 8) : 'payload'));
    expect(kinds).toEqual(['AT+USOST', 'payload', 'AT+USORF', 'AT+USORF', 'AT+USOST', 'payload']);
  });

  it('ublox: does not repeat a send that the modem did not confirm', () => {
    const { run, written } = play(
      [
        [/^AT\+USOST/, '\r\n@'],
        [PAYLOAD, ok],
      ],
      'ublox',
    );
    expect(run(DIALECTS.ublox.send(0, GATEWAY, Buffer.from('x'), GATEWAY)).error).toMatchObject({ fault: 'send' });
    expect(written).toHaveLength(2);
  });

  it('quectel: sets an EC200U to read and send whole datagrams', () => {
    const { run, written } = play([[/QIACT\?/, `\r\n+QIACT: 1,1,1,"10.1.2.3"\r\n${ok}`], ...BASICS], 'quectel');
    expect(run(DIALECTS.quectel.activate('super')).error).toBeUndefined();
    expect(written).toEqual(
      expect.arrayContaining(['AT+QICFG="udp/readmode",0\r', 'AT+QICFG="udp/sendmode",0\r', 'AT+QISDE=0\r']),
    );
  });
});

describe('the engine', () => {
  it('discards a payload whose bytes stop arriving, and reads what follows', () => {
    const { engine, carryOut, events } = play([], 'simcom7600');
    carryOut(engine.receive(Buffer.from('\r\nRECV FROM:1.2.3.4:5\r\n+IPD12\r\nabc'), 100));
    expect(engine.wakeAt()).toBe(2100);
    carryOut(engine.tick(2100));
    carryOut(engine.receive(Buffer.from('\r\nRECV FROM:1.2.3.4:5\r\n+IPD2\r\nhi'), 2200));
    expect(events).toEqual([
      { kind: 'discarded', bytes: Buffer.from('abc'), reason: 'incomplete' },
      { kind: 'datagram', socket: 0, source: { address: '1.2.3.4', port: 5 }, bytes: Buffer.from('hi') },
    ]);
  });

  it('takes no event from before a command for its second result', () => {
    const { engine, carryOut } = play([[/./, '']], 'simcom7600');
    const done: string[] = [];
    const second = { find: lineMatching(/^\+NETOPEN: 0$/), timeoutMs: 1000 };
    function* script(): Script<void> {
      yield { command: 'AT+CSQ', timeoutMs: 1000 };
      const outcome = yield { command: 'AT+NETOPEN', timeoutMs: 1000, second };
      done.push(outcome.ok ? 'ok' : outcome.failure);
    }
    const ignore = () => undefined;
    carryOut(engine.run(script(), ignore, ignore, 0));
    carryOut(engine.receive(Buffer.from('\r\nOK\r\n\r\n+NETOPEN: 0\r\n'), 1));
    carryOut(engine.receive(Buffer.from('\r\nOK\r\n'), 2));
    expect(done).toEqual([]);
    carryOut(engine.receive(Buffer.from('\r\n+NETOPEN: 0\r\n'), 3));
    expect(done).toEqual(['ok']);
  });

  it('runs a script during the pause of another, which continues at its time', () => {
    const { engine, carryOut, written, clock } = play([[/./, '\r\nOK\r\n']], 'quectel');
    const ended: string[] = [];
    const end = (name: string) => [() => ended.push(name), () => ended.push(`${name} failed`)] as const;
    function* patient(): Script<void> {
      yield { command: 'AT+CREG?', timeoutMs: 1000 };
      yield { waitMs: 5000 };
      yield { command: 'AT+CGATT?', timeoutMs: 1000 };
    }
    function* aside(command: string): Script<void> {
      yield { command, timeoutMs: 1000 };
    }
    carryOut(engine.run(patient(), ...end('patient'), 0));
    carryOut(engine.run(aside('AT+CGMM'), ...end('last'), clock()));
    carryOut(engine.run(aside('AT+CSQ'), ...end('one'), clock(), 'during-pause'));
    carryOut(engine.run(aside('AT+COPS?'), ...end('two'), clock(), 'during-pause'));
    expect(written.map((text) => text.trim())).toEqual(['AT+CREG?', 'AT+CSQ', 'AT+COPS?']);
    expect(ended).toEqual(['one', 'two']);
    carryOut(engine.tick(4000));
    expect(ended).toHaveLength(2);
    carryOut(engine.tick(5100));
    expect(ended).toEqual(['one', 'two', 'patient', 'last']);
  });

  it('fails the paused script, the one during its pause, and those that wait when the port is lost', () => {
    const { engine, carryOut } = play([[/./, '']], 'quectel');
    const failures: unknown[] = [];
    const failed = (error: unknown) => void failures.push(error);
    function* patient(): Script<void> {
      yield { waitMs: 5000 };
    }
    function* aside(): Script<void> {
      const outcome = yield { command: 'AT+CSQ', timeoutMs: 1000 };
      if (!outcome.ok) throw new Error(outcome.failure);
    }
    const wrong = () => expect.unreachable();
    carryOut(engine.run(patient(), wrong, failed, 0));
    carryOut(engine.run(aside(), wrong, failed, 0, 'during-pause'));
    carryOut(engine.run(aside(), wrong, failed, 0, 'during-pause'));
    carryOut(engine.close(10));
    expect(failures).toHaveLength(3);
    expect(engine.isIdle()).toBe(true);
  });

  it('runs scripts in order, and one at the front next', () => {
    const { engine, carryOut, written } = play([[/./, '']], 'quectel');
    const names: string[] = [];
    function* script(name: string): Script<void> {
      names.push(name);
      yield { waitMs: 10 };
    }
    const ignore = () => undefined;
    for (const name of ['first', 'second']) carryOut(engine.run(script(name), ignore, ignore, 0));
    carryOut(engine.run(script('urgent'), ignore, ignore, 0, 'front'));
    for (let now = 0; now < 100; now += 5) carryOut(engine.tick(now));
    expect(names).toEqual(['first', 'urgent', 'second']);
    expect(written).toEqual([]);
  });
});
