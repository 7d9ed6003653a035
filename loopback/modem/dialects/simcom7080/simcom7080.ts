import { type AtCommand, integer } from '../../at/command-line.js';
import type { AtAnswer, AtHandler } from '../../at/interpreter.js';
import { bootLines } from '../../at/output-unit.js';
import { simLine } from '../../cellular.js';
import type { Dialect, DialectContext } from '../dialect.js';
import { answerLine, answerOk, bindTo, remembered, setting, withSim } from '../standard-commands.js';
import {
  handleClose,
  handleConfigure,
  handleConnect,
  handleListen,
  handleRead,
  handleSend,
  handleState,
  receiveDatagram,
} from './sockets.js';
import { closeAllSockets, createSimcom7080State, type Simcom7080Quirks, type Simcom7080State } from './state.js';

const CONTEXTS = 4;
const ACTIVATION_MS = 50;

/** SIM7070, SIM7080, SIM7090 (docs/vendor-facts.md, "SIM7080: models and limits"). */
export function createSimcom7080(context: DialectContext, quirks: Simcom7080Quirks): Dialect {
  const state = createSimcom7080State(context, quirks);
  return {
    model: { manufacturer: 'SIMCOM_Ltd', name: 'SIMCOM_SIM7080G', revision: '1951B16SIM7080' },
    unknown: 'plain',
    printsSimStatus: true,
    idleUrc: '+CPSMSTATUS: "EXIT PSM"',
    autobaudLines: quirks.autobaud === 'yes' ? 2 : 0,
    boot: bootLines(['RDY', '+CFUN: 1', simLine(context.cellular.persistent), 'SMS DONE', 'PB DONE']),
    commands: commandsOf(state),
    receive: (port, datagram) => receiveDatagram(state, port, datagram),
    onContextLost() {
      if (!state.active) return;
      state.active = false;
      closeAllSockets(state);
      context.urc('+APP PDP: 0,DEACTIVE');
    },
    closeSocket(id) {
      const socket = id === undefined ? state.sockets.all()[0] : state.sockets.get(id);
      if (socket === undefined) return false;
      socket.closed = true;
      context.urc(`+CASTATE: ${socket.id},0`);
      return true;
    },
    sockets: state.sockets.views,
  };
}

function commandsOf(state: Simcom7080State): Record<string, AtHandler> {
  const { context, quirks } = state;
  const { persistent } = context.cellular;
  const bind = bindTo(state);
  return {
    ...Object.fromEntries(['+CSCLK', '+CBANDCFG'].map((name) => [name, answerOk()])),
    '+CNMP': remembered(context, '+CNMP', '2'),
    '+CMNB': remembered(context, '+CMNB', '3'),
    '+CCID': withSim(
      context,
      answerLine(() => `${quirks.ccid === 'named' ? '+CCID: ' : ''}${persistent.iccid}`),
    ),
    '+CNCFG': bind(handleContext),
    '+CNACT': withSim(context, bind(handleActivate)),
    '+CASERVER': bind(handleListen),
    '+CAOPEN': bind(handleConnect),
    '+CACFG': bind(handleConfigure),
    '+CASRIP': (command, answer) =>
      quirks.casrip === 'yes' ? setting('+CASRIP', 0, 1, state.showsSource)(command, answer) : answer.error(),
    '+CASEND': bind(handleSend),
    '+CARECV': bind(handleRead),
    '+CACLOSE': bind(handleClose),
    '+CASTATE': bind(handleState),
    '+CAACK': answerLine(() => '+CAACK: 0,0'),
  };
}

function handleContext(state: Simcom7080State, { kind, args }: AtCommand, answer: AtAnswer): void {
  if (kind === 'read') answer.line(`+CNCFG: 0,1,"${state.apn ?? ''}"`);
  else if (args[0] === '0') state.apn = args[2] ?? '';
  answer.ok();
}

function handleActivate(state: Simcom7080State, { kind, args }: AtCommand, answer: AtAnswer) {
  const { cellular } = state.context;
  const { address, contexts } = cellular.persistent;
  if (kind === 'read') {
    for (let index = 0; index < CONTEXTS; index += 1) {
      const on = state.active && index === 0;
      answer.line(`+CNACT: ${index},${Number(on)},"${on ? address : '0.0.0.0'}"`);
    }
    return answer.ok();
  }
  const wanted = integer(args[1], 0, 1);
  if (args[0] !== '0' || wanted === undefined) return answer.cme(50);
  if (wanted === 1 && !cellular.reachesApn(state.apn ?? contexts.get(1)?.apn ?? '')) return answer.cme(148);
  if (wanted === 0 && !state.active) return answer.cme(3);
  // The command closes all sockets, also when it activates the context.
  closeAllSockets(state);
  state.active = wanted === 1;
  reportContext(state, answer);
}

function reportContext({ context, quirks, active }: Simcom7080State, answer: AtAnswer): void {
  const line = `+APP PDP: 0,${active ? 'ACTIVE' : 'DEACTIVE'}`;
  if (quirks.appPdp === 'first') answer.line(line);
  answer.ok();
  if (quirks.appPdp === 'last') context.clock.after(ACTIVATION_MS, () => context.delayedResult(line));
}
