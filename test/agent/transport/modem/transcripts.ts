import type { DialectName } from '../../../../agent/config/dialect-names.js';
import { conversation, type Exchange, P12_HEX } from './support.js';

/** A conversation, and all that is to be understood of it. */
export interface Transcript {
  readonly what: string;
  readonly dialect: DialectName;
  readonly exchange: Exchange;
  readonly understood: readonly string[];
}

const FROM_GATEWAY = `100.64.0.1:6969 ${P12_HEX}`;

const transcript = (
  dialect: DialectName,
  what: string,
  lines: readonly string[],
  understood: readonly string[],
): Transcript => ({ dialect, what, exchange: conversation(...lines), understood });

const QUECTEL_OPEN = [
  '> AT+QIOPEN=1,0,"UDP SERVICE","127.0.0.1",0,6969,0\r',
  '< \r\nOK\r\n',
  '< \r\n+QIOPEN: 0,0\r\n',
] as const;
const QUECTEL_OPENED = ['AT+QIOPEN=1,0,"UDP SERVICE","127.0.0.1",0,6969,0 OK', 'opened 0'] as const;
const QUECTEL_SEND = '> AT+QISEND=0,12,"100.64.0.1",6969\r';

const quectel: readonly Transcript[] = [
  transcript(
    'quectel',
    'open, a URC, reads until empty, and the count',
    [
      ...QUECTEL_OPEN,
      '< \r\n+QIURC: "recv",0\r\n',
      '> AT+QIRD=0\r',
      '< \r\n+QIRD: 12,"100.64.0.1",6969\r\n<P12>\r\n\r\nOK\r\n',
      '> AT+QIRD=0\r',
      '< \r\n+QIRD: 0\r\n\r\nOK\r\n',
      '> AT+QIRD=0,0\r',
      '< \r\n+QIRD: 20,8,12\r\n\r\nOK\r\n',
    ],
    [
      ...QUECTEL_OPENED,
      'pending 0',
      `datagram 0 ${FROM_GATEWAY}`,
      'AT+QIRD=0 OK',
      'AT+QIRD=0 +QIRD: 0 OK',
      'pending 0 12',
      'AT+QIRD=0,0 +QIRD: 20,8,12 OK',
    ],
  ),
  ...['\r\nOK\r\n', '\r\n\r\nOK\r\n', 'OK\r\n', '\r\n\r\n\r\nOK\r\n', '\nOK\n'].map((trailer) =>
    transcript(
      'quectel',
      `a read whose trailer is ${JSON.stringify(trailer)}`,
      ['> AT+QIRD=0,1500\r', `< \r\n+QIRD:12,"100.64.0.1",6969\r\n<P12>${trailer}`],
      [`datagram 0 ${FROM_GATEWAY}`, 'AT+QIRD=0,1500 OK'],
    ),
  ),
  ...['\n', '\r\r\n'].map((end) =>
    transcript(
      'quectel',
      `a header that ends with ${JSON.stringify(end)}`,
      ['> AT+QIRD=0\r', `< \r\n+QIRD: 12,"100.64.0.1",6969${end}<P12>\r\n\r\nOK\r\n`],
      [`datagram 0 ${FROM_GATEWAY}`, 'AT+QIRD=0 OK'],
    ),
  ),
  transcript(
    'quectel',
    'recvind: a count in the URC, and no data after it in buffer mode',
    [...QUECTEL_OPEN, '< \r\n+QIURC:"recv",0,12\r\n', '< \r\n+QIURC: "closed",0\r\n'],
    [...QUECTEL_OPENED, 'pending 0 12', 'closed 0'],
  ),
  transcript(
    'quectel',
    'push mode: the same URC has data after it, and the next line follows at once',
    [
      '> AT+QIOPEN=1,1,"UDP SERVICE","127.0.0.1",0,6969,1\r',
      '< \r\nOK\r\n\r\n+QIOPEN: 1,0\r\n',
      '< \r\n+QIURC: "recv",1,12,"100.64.0.1",6969\r\n<P12>+QIURC: "recv",1,12,"100.64.0.1",6969\r\n<P12>\r\n',
    ],
    [
      'AT+QIOPEN=1,1,"UDP SERVICE","127.0.0.1",0,6969,1 OK',
      'opened 1',
      `datagram 1 ${FROM_GATEWAY}`,
      `datagram 1 ${FROM_GATEWAY}`,
    ],
  ),
  transcript(
    'quectel',
    'push mode of a connected socket: no address in the header',
    [
      '> AT+QIOPEN=1,2,"UDP","10.9.8.7",7000,6969,1\r',
      '< \r\nOK\r\n\r\n+QIOPEN: 2,0\r\n\r\n+QIURC: "recv",2,12\r\n<P12>\r\n',
    ],
    ['AT+QIOPEN=1,2,"UDP","10.9.8.7",7000,6969,1 OK', 'opened 2', `datagram 2 10.9.8.7:7000 ${P12_HEX}`],
  ),
  transcript(
    'quectel',
    'a connected socket’s read: no address in the header',
    [
      '> AT+QIOPEN=1,2,"UDP","10.9.8.7",7000,6969,0\r',
      '< \r\nOK\r\n\r\n+QIOPEN: 2,0\r\n',
      '> AT+QIRD=2\r',
      '< \r\n+QIRD: 12\r\n<P12>\r\n\r\nOK\r\n',
    ],
    [
      'AT+QIOPEN=1,2,"UDP","10.9.8.7",7000,6969,0 OK',
      'opened 2',
      `datagram 2 10.9.8.7:7000 ${P12_HEX}`,
      'AT+QIRD=2 OK',
    ],
  ),
  transcript(
    'quectel',
    'the mode from QISTATE, in a log that begins after the open',
    [
      '> AT+QISTATE=1,0\r',
      '< \r\n+QISTATE: 0,"UDP SERVICE","10.1.2.3",0,6969,2,1,0,1,"usbat"\r\n\r\nOK\r\n',
      '< \r\n+QIURC: "recv",0,12,"100.64.0.1",6969\r\n<P12>\r\n',
    ],
    ['AT+QISTATE=1,0 +QISTATE: 0,"UDP SERVICE","10.1.2.3",0,6969,2,1,0,1,"usbat" OK', `datagram 0 ${FROM_GATEWAY}`],
  ),
  transcript(
    'quectel',
    'hexadecimal payloads',
    [
      '> AT+QICFG="dataformat",0,1\r',
      '< \r\nOK\r\n',
      '> AT+QIRD=0\r',
      '< \r\n+QIRD: 12,"100.64.0.1",6969\r\n001A1B0D0A4F4B0D0A2B513E\r\n\r\nOK\r\n',
    ],
    ['AT+QICFG="dataformat",0,1 OK', `datagram 0 ${FROM_GATEWAY}`, 'AT+QIRD=0 OK'],
  ),
  ...['\r\n> ', '\r\n>', '\r\n>\r\n', '\r\n> \r\n', '>'].map((prompt) =>
    transcript(
      'quectel',
      `a send whose prompt is ${JSON.stringify(prompt)}`,
      [
        '> ATE0\r',
        '< ATE0\r\r\nOK\r\n',
        '> AT+QISDE=0\r',
        '< \r\nOK\r\n',
        QUECTEL_SEND,
        `< ${prompt}`,
        '> <P12>',
        '< \r\nSEND OK\r\n',
      ],
      ['ATE0 OK', 'AT+QISDE=0 OK', 'sent 0'],
    ),
  ),
  transcript(
    'quectel',
    'the payload comes back with QISDE=1',
    [
      '> AT+QISDE=1\r',
      '< \r\nOK\r\n',
      '> AT+QISEND=0,6,"100.64.0.1",6969\r',
      '< \r\n> ',
      '> \r\nOK\r\n',
      '< \r\nOK\r\n\r\nSEND OK\r\n',
    ],
    ['AT+QISDE=1 OK', 'sent 0'],
  ),
  transcript(
    'quectel',
    'with echo off, a payload that reads like a result does not swallow one',
    [
      '> AT+QISDE=0\r',
      '< \r\nOK\r\n',
      '> AT+QISEND=0,11,"100.64.0.1",6969\r',
      '< \r\n> ',
      '> \r\nSEND OK\r\n',
      '< \r\nSEND OK\r\n',
    ],
    ['AT+QISDE=0 OK', 'sent 0'],
  ),
  transcript(
    'quectel',
    'payloads are echoed, and the setting is unknown',
    [QUECTEL_SEND, '< \r\n> ', '> <P12>', '< <P12>\r\nSEND OK\r\n'],
    ['sent 0'],
  ),
  ...[
    ['\r\nSEND FAIL\r\n', 'SEND FAIL'],
    ['\r\nERROR\r\n', 'ERROR'],
    ['\r\n+CME ERROR: 50\r\n', '+CME ERROR: 50'],
  ].map(([answer, error]) =>
    transcript(
      'quectel',
      `a send that ends with ${error}`,
      ['> AT+QISDE=0\r', '< \r\nOK\r\n', QUECTEL_SEND, '< \r\n> ', '> <P12>', `< ${answer}`],
      ['AT+QISDE=0 OK', `sent 0: ${error}`],
    ),
  ),
  transcript(
    'quectel',
    'the late result of an earlier send does not end one that waits for its prompt',
    [
      ...['> AT+QISDE=0\r', '< \r\nOK\r\n', QUECTEL_SEND, '< \r\nSEND OK\r\n', '< \r\n> ', '> <P12>'],
      '< \r\nSEND FAIL\r\n',
    ],
    ['AT+QISDE=0 OK', 'stray SEND OK', 'sent 0: SEND FAIL'],
  ),
  transcript(
    'quectel',
    'EC200U with "sendinfo": a line and OK take the place of SEND OK',
    [
      '> AT+QISDE=0\r',
      '< \r\nOK\r\n',
      QUECTEL_SEND,
      '< \r\n>\r\n',
      '> <P12>',
      '< \r\n+QISEND: 0,0,12000\r\n\r\nOK\r\n',
    ],
    ['AT+QISDE=0 OK', 'sent 0'],
  ),
  transcript(
    'quectel',
    'a send of variable length, and one in hexadecimal; the query of acknowledged bytes is no send',
    [
      '> AT+QISEND=0\r',
      '< \r\n> ',
      '> hello\x1a',
      '< \r\nSEND OK\r\n',
      '> AT+QISENDEX=0,"68656c6c6f"\r',
      '< \r\nSEND OK\r\n',
      '> AT+QISEND=0,0\r',
      '< \r\n+QISEND: 10,10,0\r\n\r\nOK\r\n',
    ],
    ['sent 0', 'sent 0', 'AT+QISEND=0,0 +QISEND: 10,10,0 OK'],
  ),
  transcript(
    'quectel',
    'a Ctrl-Z after the payload is harmless',
    [QUECTEL_SEND, '< \r\n> ', '> <P12>\x1a', '< \r\nSEND OK\r\n', '> AT+QIRD=0\r', '< \r\n+QIRD: 0\r\n\r\nOK\r\n'],
    ['sent 0', 'AT+QIRD=0 +QIRD: 0 OK'],
  ),
  transcript(
    'quectel',
    'a Ctrl-Z after the payload that is echoed with it, and one that ends a send of variable length',
    [
      ...['> AT+QISDE=1\r', '< \r\nOK\r\n'],
      ...[QUECTEL_SEND, '< \r\n> ', '> <P12>\x1a', '< <P12>\x1a\r\nSEND OK\r\n'],
      ...['> AT+QISEND=0\r', '< \r\n> ', '> hello\x1a', '< hello\x1a\r\nSEND OK\r\n', '< \x1a\r\n'],
    ],
    ['AT+QISDE=1 OK', 'sent 0', 'sent 0', 'discarded noise 1a'],
  ),
  transcript(
    'quectel',
    'a connection to a listening socket has the mode of that socket',
    [
      '> AT+QIOPEN=1,1,"TCP LISTENER","127.0.0.1",0,6969,1\r',
      '< \r\nOK\r\n\r\n+QIOPEN: 1,0\r\n\r\n+QIURC: "incoming",11,1,"10.9.8.7",7000\r\n',
      '< \r\n+QIURC: "recv",11,12\r\n<P12>\r\n',
    ],
    [
      'AT+QIOPEN=1,1,"TCP LISTENER","127.0.0.1",0,6969,1 OK',
      'opened 1',
      'urc +QIURC: "incoming",11,1,"10.9.8.7",7000',
      `datagram 11 10.9.8.7:7000 ${P12_HEX}`,
    ],
  ),
  transcript(
    'quectel',
    'the rest of a refused payload is no command, and the next command is found after it',
    [
      ...[
        QUECTEL_SEND,
        '< \r\nERROR\r\n',
        '> <P12>AT+QIRD=0\r',
        '< \r\n+QIRD: 12,"100.64.0.1",6969\r\n<P12>\r\nOK\r\n',
      ],
    ],
    ['sent 0: ERROR', `datagram 0 ${FROM_GATEWAY}`, 'AT+QIRD=0 OK'],
  ),
  transcript(
    'quectel',
    'a payload that is cut short by the next command',
    [
      ...['> AT+QIRD=0\r', '< \r\n+QIRD: 12,"100.64.0.1",6969\r\nabc', '> AT\r', '< \r\nOK\r\n'],
      ...['> AT+QIRD=0\r', '< \r\n+QIRD: 12,"100.64.0.1",6969\r\n<P12>\r\nOK\r\n'],
    ],
    ['discarded incomplete 616263', 'AT OK', `datagram 0 ${FROM_GATEWAY}`, 'AT+QIRD=0 OK'],
  ),
  transcript(
    'quectel',
    'errors, closing, and the context',
    [
      ...['> AT+QIOPEN=1,0,"UDP SERVICE","127.0.0.1",0,6969,0\r', '< \r\nOK\r\n\r\n+QIOPEN: 0,563\r\n'],
      ...['> AT+QIGETERROR\r', '< \r\n+QIGETERROR: 552,invalid parameters\r\n\r\nOK\r\n'],
      ...['> AT+QICLOSE=0\r', '< \r\nOK\r\n'],
      ...['> AT+QIACT?\r', '< \r\n+QIACT: 1,1,1,"10.1.2.3"\r\n\r\nOK\r\n'],
      '< \r\n+QIURC: "pdpdeact",1\r\n\r\n+QIURC: "incoming full"\r\n',
      '< \r\n+QIURC: "dnsgip","1.2.3.4"\r\n',
    ],
    [
      'AT+QIOPEN=1,0,"UDP SERVICE","127.0.0.1",0,6969,0 OK',
      'opened 0: error 563 (socket in use)',
      'AT+QIGETERROR +QIGETERROR: 552,invalid parameters OK',
      'AT+QICLOSE=0 OK',
      'closed 0',
      'AT+QIACT? +QIACT: 1,1,1,"10.1.2.3" OK',
      'urc +QIURC: "pdpdeact",1',
      'urc +QIURC: "incoming full"',
      'urc +QIURC: "dnsgip","1.2.3.4"',
    ],
  ),
  transcript(
    'quectel',
    'start: documented URCs are recognised, noise is discarded',
    [
      '< \r\nPOWERED DOWN\r\n\0\xff\xfe\r\nRDY\r\n\r\n+CFUN: 1\r\n\r\n+CPIN: READY\r\n\r\n+QUSIM: 1\r\n\r\n+QIND: SMS DONE\r\n',
    ],
    [
      'urc POWERED DOWN',
      'discarded noise 00fffe',
      'urc RDY',
      'urc +CFUN: 1',
      'urc +CPIN: READY',
      'urc +QUSIM: 1',
      'urc +QIND: SMS DONE',
    ],
  ),
];

const SIMCOM_SEND = '> AT+CIPSEND=0,12,"100.64.0.1",6969\r';
const SIMCOM_OPEN = ['> AT+CIPOPEN=0,"UDP",,,6969\r', '< \r\n+CIPOPEN: 0,0\r\n\r\nOK\r\n'] as const;
const SIMCOM_OPENED = ['opened 0', 'AT+CIPOPEN=0,"UDP",,,6969 +CIPOPEN: 0,0 OK'] as const;

const simcom7600: readonly Transcript[] = [
  transcript(
    'simcom7600',
    'the network, the socket, and unsolicited payloads',
    [
      ...['> AT+NETOPEN\r', '< \r\nOK\r\n\r\n+NETOPEN: 0\r\n'],
      ...['> AT+NETOPEN\r', '< \r\n+IP ERROR: Network is already opened\r\n\r\nERROR\r\n'],
      ...[
        '> AT+NETOPEN?\r',
        '< \r\n+NETOPEN: 1,0\r\n\r\nOK\r\n',
        '> AT+IPADDR\r',
        '< \r\n+IPADDR: 10.1.2.3\r\n\r\nOK\r\n',
      ],
      ...SIMCOM_OPEN,
      '< \r\nRECV FROM:100.64.0.1:6969\r\n+IPD12\r\n<P12>\r\n',
      '< \r\n+RECV FROM:100.64.0.1:6969\r\n+IPD12\r\n<P12>RECV FROM:100.64.0.1:6969\r\n+RECEIVE,0,12:\r\n<P12>',
    ],
    [
      'AT+NETOPEN OK',
      'urc +NETOPEN: 0',
      'AT+NETOPEN +IP ERROR: Network is already opened ERROR',
      'AT+NETOPEN? +NETOPEN: 1,0 OK',
      'AT+IPADDR +IPADDR: 10.1.2.3 OK',
      ...SIMCOM_OPENED,
      ...[1, 2, 3].map(() => `datagram 0 ${FROM_GATEWAY}`),
    ],
  ),
  transcript(
    'simcom7600',
    'a URC between the line with the source and the count',
    [...SIMCOM_OPEN, '< \r\nRECV FROM:100.64.0.1:6969\r\n\r\n+CREG: 5\r\n+IPD12\r\n<P12>\r\n'],
    [...SIMCOM_OPENED, 'urc +CREG: 5', `datagram 0 ${FROM_GATEWAY}`],
  ),
  transcript(
    'simcom7600',
    'the result of CIPOPEN after OK, and its errors',
    [
      ...['> AT+CIPOPEN=1,"UDP",,,6969\r', '< \r\nOK\r\n\r\n+CIPOPEN: 1,0\r\n'],
      ...['> AT+CIPOPEN=2,"UDP","1.2.3.4",5\r', '< \r\n+CIPOPEN: 2,3\r\n\r\nERROR\r\n'],
      ...['> AT+CIPCLOSE?\r', '< \r\n+CIPCLOSE: 0,1,0,0,0,0,0,0,0,0\r\n\r\nOK\r\n'],
      ...['> AT+CIPCLOSE=1\r', '< \r\nOK\r\n\r\n+CIPCLOSE: 1,0\r\n'],
      '< \r\n+IPCLOSE: 3,1\r\n\r\n+CIPEVENT: NETWORK CLOSED UNEXPECTEDLY\r\n\r\n+SERVER DISCONNECTED:0\r\n',
    ],
    [
      'AT+CIPOPEN=1,"UDP",,,6969 OK',
      'opened 1',
      'opened 2: error 3 (wrong parameter)',
      'AT+CIPOPEN=2,"UDP","1.2.3.4",5 +CIPOPEN: 2,3 ERROR',
      'AT+CIPCLOSE? +CIPCLOSE: 0,1,0,0,0,0,0,0,0,0 OK',
      'AT+CIPCLOSE=1 OK',
      'closed 1',
      'closed 3',
      'urc +CIPEVENT: NETWORK CLOSED UNEXPECTEDLY',
      'urc +SERVER DISCONNECTED:0',
    ],
  ),
  transcript(
    'simcom7600',
    'payloads that are read: the URC, the count, raw and hexadecimal, and nothing left',
    [
      ...['> AT+CIPRXGET=1\r', '< \r\nOK\r\n', '< \r\n+CIPRXGET: 1,0\r\n'],
      ...['> AT+CIPRXGET=4,0\r', '< \r\n+CIPRXGET: 1,0\r\n\r\n+CIPRXGET: 4,0,12\r\n\r\nOK\r\n'],
      ...['> AT+CIPRXGET=2,0,1500\r', '< \r\n+CIPRXGET: 1,0\r\n\r\n+CIPRXGET: 2,0,12,0\r\n<P12>\r\n\r\nOK\r\n'],
      ...['> AT+CIPRXGET=3,0,750\r', `< \r\n+CIPRXGET: 3,0,12,0\r\n${P12_HEX}\r\n\r\nOK\r\n`],
      ...['> AT+CIPRXGET=2,0,1500\r', '< \r\n+IP ERROR: No data\r\n\r\nERROR\r\n'],
    ],
    [
      'AT+CIPRXGET=1 OK',
      'pending 0',
      'pending 0',
      'pending 0 12',
      'AT+CIPRXGET=4,0 +CIPRXGET: 4,0,12 OK',
      'pending 0',
      `datagram 0 ${FROM_GATEWAY}`,
      'AT+CIPRXGET=2,0,1500 OK',
      `datagram 0 ${FROM_GATEWAY}`,
      'AT+CIPRXGET=3,0,750 OK',
      'AT+CIPRXGET=2,0,1500 +IP ERROR: No data ERROR',
    ],
  ),
  ...['\r\n>', '\r\n> ', '\r\n>\r\n'].map((prompt) =>
    transcript(
      'simcom7600',
      `a send whose prompt is ${JSON.stringify(prompt)}`,
      [SIMCOM_SEND, `< ${prompt}`, '> <P12>', '< \r\nOK\r\n\r\n+CIPSEND: 0,12,12\r\n'],
      ['sent 0'],
    ),
  ),
  transcript(
    'simcom7600',
    'sends: echoed, confirmed before OK, short, on a lost link, refused',
    [
      ...[SIMCOM_SEND, `< ${SIMCOM_SEND.slice(2)}\r\n>`, '> <P12>', '< <P12>\r\nOK\r\n\r\n+CIPSEND: 0,12,12\r\n'],
      ...[SIMCOM_SEND, '< \r\n>', '> <P12>', '< \r\n+CIPSEND: 0,12,12\r\n\r\nOK\r\n'],
      ...[SIMCOM_SEND, '< \r\n>', '> <P12>', '< \r\nOK\r\n\r\n+CIPSEND: 0,12,5\r\n'],
      ...[SIMCOM_SEND, '< \r\n>', '> <P12>', '< \r\nOK\r\n\r\n+CIPSEND: 0,12,-1\r\n'],
      ...[SIMCOM_SEND, '< \r\n+CIPERROR: 3\r\n\r\nERROR\r\n', '> AT\r', '< \r\nOK\r\n'],
    ],
    ['sent 0', 'sent 0', 'sent 0: 5 of 12 bytes sent', 'sent 0: link lost', 'sent 0: +CIPERROR: 3', 'AT OK'],
  ),
  transcript(
    'simcom7600',
    'the confirmation of an earlier send before the prompt of this one',
    [SIMCOM_SEND, '< \r\n+CIPSEND: 0,12,-1\r\n', '< \r\n>', '> <P12>', '< \r\nOK\r\n\r\n+CIPSEND: 0,12,12\r\n'],
    ['sent 0: link lost', 'sent 0'],
  ),
  transcript(
    'simcom7600',
    'commands are echoed and payloads are not, and the payload reads like the result',
    [
      '> AT+CIPSEND=0,6,"100.64.0.1",6969\r',
      '< AT+CIPSEND=0,6,"100.64.0.1",6969\r\r\n>',
      '> \r\nOK\r\n',
      '< \r\nOK\r\n\r\n+CIPSEND: 0,6,6\r\n',
      ...['> AT\r', '< AT\r\r\nOK\r\n'],
    ],
    ['sent 0', 'AT OK'],
  ),
  transcript(
    'simcom7600',
    'several sockets: the count names none, except in the form with the socket',
    [
      ...[...SIMCOM_OPEN, ...SIMCOM_OPEN.map((text) => text.replace('=0', '=1').replace(': 0,0', ': 1,0'))],
      '< \r\n+IPD12\r\n<P12>\r\n\r\n+RECEIVE,1,12:\r\n<P12>\r\n',
    ],
    [
      ...[...SIMCOM_OPENED, 'opened 1', 'AT+CIPOPEN=1,"UDP",,,6969 +CIPOPEN: 1,0 OK'],
      ...[`datagram null ${FROM_GATEWAY}`, `datagram 1 ${FROM_GATEWAY}`],
    ],
  ),
  transcript(
    'simcom7600',
    'with CIPRXGET=1 no payload is unsolicited: what looks like one is discarded',
    [...['> AT+CIPRXGET=1\r', '< \r\nOK\r\n'], '< \r\n+IPD12\r\n', '< \r\n+RECEIVE,0,12:\r\n'],
    [
      'AT+CIPRXGET=1 OK',
      `discarded bad-header ${Buffer.from('+IPD12').toString('hex')}`,
      `discarded bad-header ${Buffer.from('+RECEIVE,0,12:').toString('hex')}`,
    ],
  ),
  transcript(
    'simcom7600',
    'NETCLOSE closes what is open',
    [...SIMCOM_OPEN, '> AT+NETCLOSE\r', '< \r\nOK\r\n\r\n+CIPCLOSE: 0,0\r\n\r\n+NETCLOSE: 0\r\n'],
    [...SIMCOM_OPENED, 'AT+NETCLOSE OK', 'closed 0', 'urc +NETCLOSE: 0'],
  ),
  transcript(
    'simcom7600',
    'start, and lost bytes',
    [
      '< \r\nRDY\r\n\r\n+CPIN: READY\r\n\r\nSMS DONE\r\n\r\nPB DONE\r\n\r\n*ATREADY: 1\r\n',
      ...['> AT+CGDCONT=1,"IP","super"\r', '< K\r\n', '> AT\r', '< \r\nOK\r\n'],
      ...['> AT+CIPCLOSE?\r', '< \r\n+CIPCLOSE: 1,0,\xf0\x12,0\r\n\r\nOK\r\n'],
    ],
    [
      'urc RDY',
      'urc +CPIN: READY',
      'urc SMS DONE',
      'urc PB DONE',
      'urc *ATREADY: 1',
      'discarded unknown-line 4b',
      'AT OK',
      `discarded not-text ${Buffer.from('+CIPCLOSE: 1,0,\xf0\x12,0', 'latin1').toString('hex')}`,
      'AT+CIPCLOSE? OK',
    ],
  ),
];

const CASEND = '> AT+CASEND=0,12\r';

const simcom7080: readonly Transcript[] = [
  transcript(
    'simcom7080',
    'the context, the server, and its peer',
    [
      ...['> AT+CNACT=0,1\r', '< \r\nOK\r\n\r\n+APP PDP: 0,ACTIVE\r\n'],
      ...['> AT+CNACT?\r', '< \r\n+CNACT: 0,1,"10.1.2.3"\r\n+CNACT: 1,0,"0.0.0.0"\r\n\r\nOK\r\n'],
      ...['> AT+CASERVER=0,0,"UDP",6969\r', '< \r\n+CASERVER: 0,0\r\n\r\nOK\r\n'],
      ...['> AT+CACFG="REMOTEADDR",0,100.64.0.1,6969\r', '< \r\nOK\r\n', '< \r\n+CADATAIND: 0\r\n'],
      '< \r\n+APP PDP: 0,DEACTIVE\r\n\r\n+CASTATE: 0,0\r\n',
    ],
    [
      'AT+CNACT=0,1 OK',
      'urc +APP PDP: 0,ACTIVE',
      'AT+CNACT? +CNACT: 0,1,"10.1.2.3" +CNACT: 1,0,"0.0.0.0" OK',
      'opened 0',
      'AT+CASERVER=0,0,"UDP",6969 +CASERVER: 0,0 OK',
      'AT+CACFG="REMOTEADDR",0,100.64.0.1,6969 OK',
      'pending 0',
      'urc +APP PDP: 0,DEACTIVE',
      'closed 0',
    ],
  ),
  ...[
    ['+CARECV: 12,', 'as devices print it'],
    ['+CARECV: 0,12,', 'with the socket first'],
    ['+CARECV: 100.64.0.1,6969,12,', 'with the source'],
    ['+CARECV: "100.64.0.1",6969,12,', 'with the source in quotation marks'],
    ['+CARECV: 0,100.64.0.1,6969,12,', 'with the socket and the source'],
    ['+CARECV:12,', 'without a space'],
    ['+CARECV: 0,12\r\n', 'on a line of its own'],
  ].flatMap(([head, what]) =>
    ['\r\nOK\r\n', '\r\n\r\nOK\r\n', 'OK\r\n'].map((trailer) =>
      transcript(
        'simcom7080',
        `a read ${what}, trailer ${JSON.stringify(trailer)}`,
        ['> AT+CARECV=0,1459\r', `< \r\n${head}<P12>${trailer}`],
        [`datagram 0 ${FROM_GATEWAY}`, 'AT+CARECV=0,1459 OK'],
      ),
    ),
  ),
  ...[
    ['+CARECV: 1,5\r\n', '35', 'one byte, a digit'],
    ['+CARECV: 1,,\r\n', '2c', 'one byte, a comma'],
    ['+CARECV: 1,\r\r\n', '0d', 'one byte, a CR'],
    ['+CARECV: 1,\n\r\n', '0a', 'one byte, a LF'],
    ['+CARECV: 1,\0\r\n', '00', 'one byte, a NUL'],
    ['+CARECV: 1,5,hello\r\n', '68656c6c6f', 'the socket first, then five bytes'],
    ['+CARECV: 5,hello\r\n', '68656c6c6f', 'five bytes'],
    ['+CARECV: 1,10.1.2.3,70,3,1,2\r\n', '312c32', 'the socket, then the source'],
  ].map(([answer, hex, what]) =>
    transcript(
      'simcom7080',
      `a read of socket 1: ${what}`,
      ['> AT+CARECV=1,1459\r', `< \r\n${answer}\r\nOK\r\n`],
      [`datagram 1 ${answer?.includes('10.1') ? '10.1.2.3:70' : '100.64.0.1:6969'} ${hex}`, 'AT+CARECV=1,1459 OK'],
    ),
  ),
  transcript(
    'simcom7080',
    'a number that fits no form of a read',
    ['> AT+CARECV=1,1459\r', '< \r\n+CARECV: 1,12x\r\n\r\nOK\r\n'],
    [`discarded bad-header ${Buffer.from('+CARECV: 1,12x').toString('hex')}`, 'AT+CARECV=1,1459 OK'],
  ),
  transcript(
    'simcom7080',
    'nothing to read, in both forms, and what is no answer to a read',
    [
      ...['> AT+CARECV=0,1459\r', '< \r\n+CARECV: 0\r\n\r\nOK\r\n'],
      ...['> AT+CARECV=0,1459\r', '< \r\n+CARECV: 0,0\r\n\r\nOK\r\n'],
      ...['> AT+CARECV?\r', '< \r\n+CARECV: 0,0\r\n\r\nOK\r\n'],
      ...['> AT+CASTATE?\r', '< \r\n+CASTATE: 0,2\r\n+CASTATE: 1,0\r\n\r\nOK\r\n'],
      ...['> AT+CAACK=0\r', '< \r\n+CAACK: 12,0\r\n\r\nOK\r\n', '> AT+CASEND=0\r', '< \r\n+CASEND: 1459\r\n\r\nOK\r\n'],
    ],
    [
      'AT+CARECV=0,1459 +CARECV: 0 OK',
      'AT+CARECV=0,1459 +CARECV: 0,0 OK',
      'AT+CARECV? +CARECV: 0,0 OK',
      'AT+CASTATE? +CASTATE: 0,2 +CASTATE: 1,0 OK',
      'AT+CAACK=0 +CAACK: 12,0 OK',
      'AT+CASEND=0 +CASEND: 1459 OK',
    ],
  ),
  transcript(
    'simcom7080',
    'CANEW names the source of the next reads',
    ['< \r\n+CANEW: 0,1,"10.9.8.7",7000\r\n', ...['> AT+CARECV=0,1459\r', '< \r\n+CARECV: 12,<P12>\r\n\r\nOK\r\n']],
    ['pending 0', 'pending 1', `datagram 0 10.9.8.7:7000 ${P12_HEX}`, 'AT+CARECV=0,1459 OK'],
  ),
  transcript(
    'simcom7080',
    'unsolicited payloads',
    [
      '> AT+CAOPEN=0,0,"UDP","10.9.8.7",7000,1\r',
      '< \r\n+CAOPEN: 0,0\r\n\r\nOK\r\n',
      '< \r\n+CAURC: "recv",0,12\r\n<P12>\r\n\r\n+CAURC: "recv",0,12,100.64.0.1,6969\r\n<P12>+CADATAIND: 0\r\n',
    ],
    [
      'opened 0',
      'AT+CAOPEN=0,0,"UDP","10.9.8.7",7000,1 +CAOPEN: 0,0 OK',
      `datagram 0 10.9.8.7:7000 ${P12_HEX}`,
      `datagram 0 ${FROM_GATEWAY}`,
      'pending 0',
    ],
  ),
  ...['\r\n>', '\r\n> ', '\r\n>\r\n'].map((prompt) =>
    transcript(
      'simcom7080',
      `a send whose prompt is ${JSON.stringify(prompt)}`,
      [CASEND, `< ${prompt}`, '> <P12>', '< \r\nOK\r\n'],
      ['sent 0'],
    ),
  ),
  transcript(
    'simcom7080',
    'sends: confirmed before and after OK, failed, refused',
    [
      ...[CASEND, '< \r\n>', '> <P12>', '< \r\n+CASEND: 0,0,12\r\n\r\nOK\r\n'],
      ...[CASEND, '< \r\n>', '> <P12>', '< \r\nOK\r\n\r\n+CASEND: 0,0,12\r\n'],
      ...[CASEND, '< \r\n>', '> <P12>', '< \r\n+CASEND: 0,1,0\r\n\r\nOK\r\n'],
      ...[CASEND, '< \r\nERROR\r\n'],
      ...[
        '> AT+CASERVER=0,0,"UDP",6969\r',
        '< \r\n+CASERVER: 0,21\r\n\r\nERROR\r\n',
        '> AT+CACLOSE=0\r',
        '< \r\nOK\r\n',
      ],
    ],
    [
      'sent 0',
      'sent 0',
      'urc +CASEND: 0,0,12',
      'sent 0: error 1 (socket error)',
      'sent 0: ERROR',
      'opened 0: error 21 (network not active)',
      'AT+CASERVER=0,0,"UDP",6969 +CASERVER: 0,21 ERROR',
      'AT+CACLOSE=0 OK',
      'closed 0',
    ],
  ),
];

const USOST = '> AT+USOST=0,"100.64.0.1",6969,12\r';
const K = 'k'.repeat(1024);
const K_HEX = '6b'.repeat(1024);
const usorf = (bytes: string) => `< \r\n+USORF: 0,"100.64.0.1",6969,${bytes.length},"${bytes}"\r\n\r\nOK\r\n`;

const ublox: readonly Transcript[] = [
  transcript(
    'ublox',
    'the socket, both URCs, the count, a read, nothing left, closing',
    [
      ...['> AT+USOCR=17,6969\r', '< \r\n+USOCR: 0\r\n\r\nOK\r\n', '< \r\n+UUSORF: 0,12\r\n\r\n+UUSORD: 0,12\r\n'],
      ...['> AT+USORF=0,0\r', '< \r\n+USORF: 0,12\r\n\r\nOK\r\n'],
      ...['> AT+USORF=0,1024\r', '< \r\n+USORF: 0,"100.64.0.1",6969,12,"<P12>"\r\n\r\nOK\r\n'],
      ...['> AT+USORF=0,1024\r', '< \r\n+USORF: 0, "100.64.0.1", 6969, 12, "<P12>"OK\r\n'],
      ...['> AT+USORF=0,1024\r', '< \r\n+USORF: 0,""\r\n\r\nOK\r\n', '> AT+USORF=0,1024\r', '< \r\nERROR\r\n'],
      ...['> AT+USOCL=0\r', '< \r\nOK\r\n', '> AT+USOCL=1,1\r', '< \r\nOK\r\n\r\n+UUSOCL: 1\r\n'],
    ],
    [
      'opened 0',
      'AT+USOCR=17,6969 +USOCR: 0 OK',
      'pending 0 12',
      'pending 0 12',
      'pending 0 12',
      'AT+USORF=0,0 +USORF: 0,12 OK',
      `datagram 0 ${FROM_GATEWAY}`,
      'AT+USORF=0,1024 OK',
      `datagram 0 ${FROM_GATEWAY}`,
      'AT+USORF=0,1024 OK',
      'AT+USORF=0,1024 +USORF: 0,"" OK',
      'AT+USORF=0,1024 ERROR',
      'AT+USOCL=0 OK',
      'closed 0',
      'AT+USOCL=1,1 OK',
      'closed 1',
    ],
  ),
  transcript(
    'ublox',
    'a connected socket, and an empty read of it',
    [
      ...['> AT+USOCO=0,"10.9.8.7",7000\r', '< \r\nOK\r\n'],
      ...['> AT+USORD=0,1024\r', '< \r\n+USORD: 0,12,"<P12>"\r\n\r\nOK\r\n'],
      ...['> AT+USORD=0,1024\r', '< \r\n+USORD: 0,""\r\n\r\nOK\r\n'],
      ...['> AT+USOWR=0,12\r', '< \r\n@', '> <P12>', '< \r\n+USOWR: 0,12\r\n\r\nOK\r\n'],
    ],
    [
      'AT+USOCO=0,"10.9.8.7",7000 OK',
      `datagram 0 10.9.8.7:7000 ${P12_HEX}`,
      'AT+USORD=0,1024 OK',
      'AT+USORD=0,1024 +USORD: 0,"" OK',
      'sent 0',
    ],
  ),
  ...['set', 'asked'].map((how) =>
    transcript(
      'ublox',
      `hexadecimal, ${how}`,
      [
        ...(how === 'set'
          ? ['> AT+UDCONF=1,1\r', '< \r\nOK\r\n']
          : ['> AT+UDCONF=1\r', '< \r\n+UDCONF: 1,1\r\n\r\nOK\r\n']),
        ...['> AT+USORF=0,512\r', '< \r\n+USORF: 0,"100.64.0.1",6969,12,"001A1B0D0A4F4B0D0A2B513E"\r\n\r\nOK\r\n'],
        ...[`> AT+USOST=0,"100.64.0.1",6969,12,"${P12_HEX}"\r`, '< \r\n+USOST: 0,12\r\n\r\nOK\r\n'],
      ],
      [
        how === 'set' ? 'AT+UDCONF=1,1 OK' : 'AT+UDCONF=1 +UDCONF: 1,1 OK',
        `datagram 0 ${FROM_GATEWAY}`,
        'AT+USORF=0,512 OK',
        'sent 0',
      ],
    ),
  ),
  transcript(
    'ublox',
    'a datagram in two parts, one of just the size of a part, and two that are no parts of each other',
    [
      ...['> AT+USORF=0,1024\r', usorf(K), '> AT+USORF=0,1024\r', usorf('x')],
      ...['> AT+USORF=0,1024\r', usorf(K), '> AT+USORF=0,1024\r', '< \r\n+USORF: 0,""\r\n\r\nOK\r\n'],
      ...['> AT+USORF=0,1024\r', usorf(K), '> AT+USORF=0,1024\r', usorf('x').replace('6969', '7000')],
    ],
    [
      'AT+USORF=0,1024 OK',
      `datagram 0 100.64.0.1:6969 ${K_HEX}78`,
      'AT+USORF=0,1024 OK',
      'AT+USORF=0,1024 OK',
      `datagram 0 100.64.0.1:6969 ${K_HEX}`,
      'AT+USORF=0,1024 +USORF: 0,"" OK',
      'AT+USORF=0,1024 OK',
      `datagram 0 100.64.0.1:6969 ${K_HEX}`,
      'datagram 0 100.64.0.1:7000 78',
      'AT+USORF=0,1024 OK',
    ],
  ),
  transcript(
    'ublox',
    'sends: plain, echoed, not confirmed, refused after the data, short',
    [
      ...[USOST, '< \r\n@', '> <P12>', '< \r\n+USOST: 0,12\r\n\r\nOK\r\n'],
      ...[USOST, `< ${USOST.slice(2)}\r\n@`, '> <P12>', '< <P12>\r\n+USOST: 0,12\r\n\r\nOK\r\n'],
      ...[USOST, '< \r\n@', '> <P12>', '< \r\nOK\r\n'],
      ...[USOST, '< \r\n@', '> <P12>', '< \r\n+UUSORF: 0,5\r\n\r\nERROR\r\n'],
      ...[USOST, '< \r\n@', '> <P12>', '< \r\n+USOST: 0,5\r\n\r\nOK\r\n'],
    ],
    [
      'sent 0',
      'sent 0',
      'sent 0: the modem did not confirm the send',
      'pending 0 5',
      'sent 0: ERROR',
      'sent 0: 5 of 12 bytes sent',
    ],
  ),
  transcript(
    'ublox',
    'an echoed payload that reads like the result',
    [
      '> AT+USOST=0,"100.64.0.1",6969,6\r',
      '< AT+USOST=0,"100.64.0.1",6969,6\r\r\n@',
      '> \r\nOK\r\n',
      '< \r\nOK\r\n\r\n+USOST: 0,6\r\n\r\nOK\r\n',
    ],
    ['sent 0'],
  ),
  transcript(
    'ublox',
    'URCs, and NULs after a reset',
    [
      '< \r\n+UMWI: 0,1\r\n\r\n+UUPSDD: 0\r\n\r\n+UUPSDA: 0,"10.1.2.3"\r\n\r\n+UUSOST: 0,1,1\r\n\0\0\r\n+CEREG: 5,"1A2B","01A2B3C4",7\r\n',
      '> AT+CPSMS?\r',
      '< \r\n+CPSMS:1,,,"00000110","00000001"\r\n\r\nOK\r\n',
    ],
    [
      'urc +UMWI: 0,1',
      'urc +UUPSDD: 0',
      'urc +UUPSDA: 0,"10.1.2.3"',
      'urc +UUSOST: 0,1,1',
      'discarded noise 0000',
      'urc +CEREG: 5,"1A2B","01A2B3C4",7',
      'AT+CPSMS? +CPSMS:1,,,"00000110","00000001" OK',
    ],
  ),
];

/** What all modems share. */
const common: readonly Transcript[] = [
  transcript(
    'quectel',
    'an echo that ends with a CR alone, and a header that does',
    [
      ...['> AT+CSQ\r', '< AT+CSQ\r+CSQ: 21,99\r\nOK\r\n'],
      ...['> AT+QIRD=0\r', '< AT+QIRD=0\r+QIRD: 3,"100.64.0.1",6969\rabc\r\nOK\r\n'],
    ],
    ['AT+CSQ +CSQ: 21,99 OK', 'datagram 0 100.64.0.1:6969 616263', 'AT+QIRD=0 OK'],
  ),
  transcript(
    'quectel',
    'a URC between the prompt and the echo of a payload, which begins alike',
    [
      ...['> AT+QISDE=1\r', '< \r\nOK\r\n', '> AT+QISEND=0,9,"100.64.0.1",6969\r', '< \r\n>', '> \r\n+CREG:x'],
      '< \r\n+CREG: 5\r\n\r\n\r\n+CREG:x\r\nSEND OK\r\n',
    ],
    ['AT+QISDE=1 OK', 'urc +CREG: 5', 'sent 0'],
  ),
  transcript(
    'quectel',
    'a line without an end is discarded in pieces, and what follows is read',
    [`< \r\n${'x'.repeat(5000)}\r\nRDY\r\n`],
    [2048, 2048, 904].map((size) => `discarded line-too-long ${'78'.repeat(size)}`).concat('urc RDY'),
  ),
  transcript(
    'ublox',
    'a flood of bytes that are no text',
    [`< ${'\xff'.repeat(600)}\r\nRING\r\n`],
    [256, 256, 88].map((size) => `discarded noise ${'ff'.repeat(size)}`).concat('urc RING'),
  ),
  transcript(
    'quectel',
    'bring-up with echo on, its URCs between',
    [
      ...['> AT\r', '< AT\r\r\nOK\r\n', '> AT+CSQ\r', '< AT+CSQ\r\r\n+CSQ: 21,99\r\n\r\nOK\r\n'],
      ...['> AT+CGMM\r\n', '< AT+CGMM\r\n\r\nEC25\r\n\r\nOK\r\n', '> ATE0\r', '< ATE0\r\r\nOK\r\n'],
      ...['> AT+CGMM\r', '< \r\nEC25\r\n\r\nOK\r\n', '> AT+CPIN?\r', '< \r\n+CME ERROR: 10\r\n'],
      ...['> AT+QCCID\r', '< \r\n+QCCID: 89883070000000000001F\r\n\r\nOK\r\n'],
      ...['> AT+CEREG?\r', '< \r\n+CEREG: 5\r\n\r\n+CEREG: 2,5\r\n\r\nOK\r\n'],
      ...['> AT+COPS?\r', '< \r\n+COPS: 0,2,"23415",7\r\n\r\nOK\r\n'],
      ...['> AT+CGPADDR=1\r', '< \r\n+CGPADDR: 1,"10.1.2.3"\r\n\r\nOK\r\n'],
      ...['> AT+CMEE=2;+CMGF=1\r', '< \r\n+CME ERROR: SIM not inserted\r\n'],
    ],
    [
      'AT OK',
      'AT+CSQ +CSQ: 21,99 OK',
      'AT+CGMM EC25 OK',
      'ATE0 OK',
      'AT+CGMM EC25 OK',
      'AT+CPIN? +CME ERROR: 10',
      'AT+QCCID +QCCID: 89883070000000000001F OK',
      'urc +CEREG: 5',
      'AT+CEREG? +CEREG: 2,5 OK',
      'AT+COPS? +COPS: 0,2,"23415",7 OK',
      'AT+CGPADDR=1 +CGPADDR: 1,"10.1.2.3" OK',
      'AT+CMEE=2;+CMGF=1 +CME ERROR: SIM not inserted',
    ],
  ),
  transcript(
    'quectel',
    'LF only, doubled CRs, and results between commands, which end nothing',
    [
      ...['> AT\r', '< \nOK\n', '> AT+CSQ\r', '< AT+CSQ\r\r\r\n+CSQ: 21,99\r\r\n\r\r\nOK\r\r\n'],
      ...['< \r\nOK\r\n\r\nNO CARRIER\r\n\r\nERROR\r\n', '> AT+CGMM\r', '< \r\nEC25\r\n\r\nOK\r\n'],
    ],
    ['AT OK', 'AT+CSQ +CSQ: 21,99 OK', 'stray OK', 'urc NO CARRIER', 'stray ERROR', 'AT+CGMM EC25 OK'],
  ),
  transcript(
    'quectel',
    'another program’s echo, garbage, and a header without its command',
    [
      '< AT+GCAP\r\r\n',
      '< \r\nx?7~\r\n\r\n+QIRD: 3\r\n',
      ...['> AT+QIRD=0\r', '< \r\n+QIRD: -3,"1.2.3.4",5\r\n\r\n+QIRD: 2049,"1.2.3.4",5\r\n\r\n+QIRD: x\r\n\r\nOK\r\n'],
      ...['> AT+QIRD=0,5\r', '< \r\n+QIRD: 6,"1.2.3.4",5\r\n\r\nOK\r\n'],
    ],
    [
      `discarded foreign-echo ${Buffer.from('AT+GCAP').toString('hex')}`,
      `discarded unknown-line ${Buffer.from('x?7~').toString('hex')}`,
      ...['+QIRD: 3', '+QIRD: -3,"1.2.3.4",5', '+QIRD: 2049,"1.2.3.4",5', '+QIRD: x'].map(
        (line) => `discarded bad-header ${Buffer.from(line).toString('hex')}`,
      ),
      'AT+QIRD=0 OK',
      `discarded bad-header ${Buffer.from('+QIRD: 6,"1.2.3.4",5').toString('hex')}`,
      'AT+QIRD=0,5 OK',
    ],
  ),
];

export const TRANSCRIPTS: readonly Transcript[] = [...common, ...quectel, ...simcom7600, ...simcom7080, ...ublox];
