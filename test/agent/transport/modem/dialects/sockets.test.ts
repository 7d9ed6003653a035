import { describe, expect, it } from 'vitest';
import type { DialectName } from '../../../../../agent/config/dialect-names.js';
import { DIALECTS } from '../../../../../agent/transport/modem/dialects/index.js';
import { sendDatagram } from '../../../../../agent/transport/modem/dialects/sockets.js';
import { cycleRadio, reset } from '../../../../../agent/transport/modem/scripts/identify.js';
import { type Answers, BASICS, play } from '../scripted-modem.js';
import { P12 } from '../support.js';

const GATEWAY = { address: '100.64.0.1', port: 6969 };

/** Neither a command nor a single CR. */
const PAYLOAD = /^[^A\r]/;
const BYTES = Buffer.from(Array.from({ length: 1300 }, (_, index) => index % 256));

/** For each dialect: its modem's answers from the context to a send and a read, and commands that must have been written. */
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
    // After the busy answer the whole payload was written again.
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
