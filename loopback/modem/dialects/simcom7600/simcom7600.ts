import { type AtCommand, integer } from '../../at/command-line.js';
import type { AtAnswer, AtHandler } from '../../at/interpreter.js';
import { bootLines } from '../../at/output-unit.js';
import { simLine } from '../../cellular.js';
import type { Dialect, DialectContext } from '../dialect.js';
import { answerLine, answerOk, bindTo, setting, withSim } from '../standard-commands.js';
import { handleClose, handleOpen, handleRead, handleSend, receiveDatagram } from './sockets.js';
import { createSimcom7600State, failWithIpError, type Simcom7600Quirks, type Simcom7600State } from './state.js';

const OPENING_MS = 50;
const CLOSING_MS = 20;

/** SIM7500, SIM7600, A76xx (docs/vendor-facts.md, "SIM7600: models and limits"). */
export function createSimcom7600(context: DialectContext, quirks: Simcom7600Quirks): Dialect {
  const state = createSimcom7600State(context, quirks);
  const { isA7670, sockets } = state;
  const boot = ['RDY', simLine(context.cellular.persistent), 'SMS DONE', 'PB DONE'];
  return {
    model: {
      manufacturer: isA7670 ? 'INCORPORATED' : 'SIMCOM INCORPORATED',
      name: isA7670 ? 'A7670E-LASE' : 'SIMCOM_SIM7600G-H',
      revision: isA7670 ? 'A7670M6_V1.11.1' : 'LE20B04SIM7600G22',
    },
    unknown: 'plain',
    printsSimStatus: true,
    unquotedAddress: isA7670,
    idleUrc: '+CGEV: ME PDN ACT 1',
    boot: bootLines(isA7670 ? ['*ATREADY: 1', ...boot] : boot),
    commands: commandsOf(state),
    receive: (port, datagram) => receiveDatagram(state, port, datagram),
    onContextLost() {
      if (state.net === 'opening') state.net = 'closed';
      if (state.net !== 'open') return;
      // It stays so until the host closes it: NETCLOSE, then NETOPEN.
      state.net = 'broken';
      context.urc('+CIPEVENT: NETWORK CLOSED UNEXPECTEDLY');
    },
    closeSocket(id) {
      const socket = id === undefined ? sockets.all()[0] : sockets.get(id);
      if (socket === undefined) return false;
      sockets.close(socket.id);
      context.urc(`+IPCLOSE: ${socket.id},1`);
      return true;
    },
    sockets: sockets.views,
  };
}

function commandsOf(state: Simcom7600State): Record<string, AtHandler> {
  const { context, isA7670 } = state;
  const { persistent } = context.cellular;
  const bind = bindTo(state);
  const ignored = ['+CNMP', '+CSCLK', '+CSDVC', '+CTCPKA', ...(isA7670 ? [] : ['+CSOCKSETPN'])];
  return {
    ...Object.fromEntries(ignored.map((name) => [name, answerOk()])),
    '+CICCID': withSim(
      context,
      answerLine(() => `+ICCID: ${persistent.iccid}`),
    ),
    '+CIPMODE': bind(handleTransparentMode),
    '+CIPSRIP': headerSetting(state, '+CIPSRIP', state.showsSource),
    '+CIPHEAD': headerSetting(state, '+CIPHEAD', state.showsHeader),
    '+CIPRXGET': bind(handleRead),
    '+CIPCCFG': bind(handleConfigure),
    '+NETOPEN': withSim(context, bind(handleNetOpen)),
    '+NETCLOSE': bind(handleNetClose),
    '+IPADDR': bind(handleAddress),
    '+CIPOPEN': bind(handleOpen),
    '+CIPSEND': bind(handleSend),
    '+CIPCLOSE': bind(handleClose),
  };
}

function handleTransparentMode({ transparentMode }: Simcom7600State, command: AtCommand, answer: AtAnswer): void {
  // Transparent mode is for one TCP connection.
  if (command.args[0] === '1') failWithIpError(answer, 'Operation not supported');
  else setting('+CIPMODE', 0, 0, transparentMode)(command, answer);
}

function headerSetting(state: Simcom7600State, name: string, value: { current: number }): AtHandler {
  return (command, answer) => {
    const isIgnored = state.quirks.headers === 'closed-network' && state.net !== 'closed' && command.kind === 'set';
    if (isIgnored) answer.ok();
    else setting(name, 0, 1, value)(command, answer);
  };
}

function handleConfigure(state: Simcom7600State, { args }: AtCommand, answer: AtAnswer) {
  const type = integer(args[4] ?? '0', 0, 1);
  if (type === undefined) return answer.error();
  state.headerType = type;
  answer.ok();
}

function handleNetOpen(state: Simcom7600State, { kind }: AtCommand, answer: AtAnswer) {
  const { clock, cellular, delayedResult } = state.context;
  if (kind === 'read') {
    const code = state.net === 'open' || state.net === 'broken' ? 1 : 0;
    answer.line(`+NETOPEN: ${code}${state.quirks.netState === 'two' ? ',0' : ''}`);
    return answer.ok();
  }
  if (state.net !== 'closed') return failWithIpError(answer, 'Network is already opened');
  state.net = 'opening';
  answer.ok();
  clock.after(OPENING_MS, () => {
    const reached = cellular.reachesApn(cellular.persistent.contexts.get(1)?.apn ?? '');
    state.net = reached ? 'open' : 'closed';
    state.openedAt = clock.now();
    delayedResult(`+NETOPEN: ${reached ? 0 : 1}`);
  });
}

function handleNetClose(state: Simcom7600State, _: AtCommand, answer: AtAnswer) {
  const { context, sockets, quirks } = state;
  if (state.net === 'closed') return failWithIpError(answer, 'Network is already closed');
  if (quirks.netClose === 'refuses' && sockets.all().length > 0) {
    return failWithIpError(answer, 'Net close failed for socket opened');
  }
  answer.ok();
  context.clock.after(CLOSING_MS, () => {
    state.net = 'closed';
    for (const { id } of sockets.closeAll()) context.delayedResult(`+CIPCLOSE: ${id},0`);
    context.delayedResult('+NETCLOSE: 0');
  });
}

function handleAddress({ context, net }: Simcom7600State, _: AtCommand, answer: AtAnswer) {
  if (net !== 'open') return failWithIpError(answer, 'Network not opened');
  answer.line(`+IPADDR: ${context.cellular.persistent.address}`);
  answer.ok();
}
