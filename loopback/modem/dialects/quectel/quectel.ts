import { type AtCommand, integer } from '../../at/command-line.js';
import type { AtAnswer, AtHandler } from '../../at/interpreter.js';
import { bootLines } from '../../at/output-unit.js';
import { simLine } from '../../cellular.js';
import type { Dialect, DialectContext } from '../dialect.js';
import { answerLine, answerOk, bindTo, setting, withSim } from '../standard-commands.js';
import { quectelError } from './errors.js';
import { handleSend, handleSendHex } from './send.js';
import { handleClose, handleOpen, handleRead, handleState, receiveDatagram } from './sockets.js';
import {
  closeAllSockets,
  createQuectelState,
  EC200U_SETTINGS,
  end,
  printUrc,
  type QuectelQuirks,
  type QuectelState,
  URC_PORTS,
} from './state.js';

/** Length to which a shorter number is padded, as on the SIM. */
const ICCID_DIGITS = 20;
const ACTIVATION_MS = 50;

/** BG95, BG96, EC2x, EG2x (docs/vendor-facts.md, "Quectel: models and limits"). */
export function createQuectel(context: DialectContext, quirks: QuectelQuirks): Dialect {
  const state = createQuectelState(context, quirks);
  const { persistent } = context.cellular;
  return {
    model: { manufacturer: 'Quectel', name: quirks.model, revision: `${quirks.model}MAR02A07M1G` },
    unknown: 'plain',
    shutdownUrc: 'POWERED DOWN',
    idleUrc: '+QIND: "csq",20,99',
    boot: bootLines(['RDY', '+CFUN: 1', simLine(persistent), '+QUSIM: 1', '+QIND: SMS DONE']),
    commands: commandsOf(state),
    receive: (port, datagram) => receiveDatagram(state, port, datagram),
    onContextLost() {
      if (!state.active) return;
      state.active = false;
      state.lastError = 570;
      closeAllSockets(state);
      printUrc(state, '"pdpdeact",1');
    },
    closeSocket(id) {
      const socket = id === undefined ? state.sockets.all()[0] : state.sockets.get(id);
      if (socket === undefined) return false;
      socket.closed = true;
      printUrc(state, `"closed",${socket.id}`);
      return true;
    },
    sockets: state.sockets.views,
  };
}

function commandsOf(state: QuectelState): Record<string, AtHandler> {
  const { context } = state;
  const { persistent } = context.cellular;
  const bind = bindTo(state);
  return {
    ...Object.fromEntries(['+QSCLK', '+QCFG', '+QPOWD', '+QNWINFO'].map((name) => [name, answerOk()])),
    '+QCCID': withSim(
      context,
      answerLine(() => `+QCCID: ${persistent.iccid.padEnd(ICCID_DIGITS, 'F')}`),
    ),
    '+QISDE': setting('+QISDE', 0, 1, state.echoesData),
    '+QIGETERROR': answerLine(() => `+QIGETERROR: ${quectelError(state.lastError)}`),
    '+QICFG': bind(handleConfigure),
    '+QURCCFG': bind(handleUrcPort),
    '+QICSGP': bind(handleContext),
    '+QIACT': withSim(context, bind(handleActivate)),
    '+QIDEACT': bind(handleDeactivate),
    '+QIOPEN': withSim(context, bind(handleOpen)),
    '+QISEND': bind(handleSend),
    '+QISENDEX': bind(handleSendHex),
    '+QIRD': bind(handleRead),
    '+QICLOSE': bind(handleClose),
    '+QISTATE': bind(handleState),
  };
}

function handleConfigure(state: QuectelState, { args }: AtCommand, answer: AtAnswer) {
  const { settings, isEc200u } = state;
  const [key = '', ...values] = args;
  if (!settings.has(key) || (EC200U_SETTINGS.has(key) && !isEc200u)) return end(state, answer, 552);
  // Sending hexadecimal digits behind a prompt is not known well enough.
  if (key === 'dataformat' && values[0] === '1') return end(state, answer, 555);
  if (values.length === 0) answer.line(`+QICFG: "${key}",${settings.get(key)}`);
  else settings.set(key, values.join(','));
  end(state, answer, 0);
}

function handleUrcPort(state: QuectelState, { args }: AtCommand, answer: AtAnswer) {
  if (args[0] !== 'urcport') return answer.error();
  if (args[1] === undefined) answer.line(`+QURCCFG: "urcport","${state.urcPort}"`);
  else if (!URC_PORTS.includes(args[1])) return answer.error();
  else state.urcPort = args[1];
  answer.ok();
}

function handleContext(state: QuectelState, { args }: AtCommand, answer: AtAnswer) {
  if (integer(args[0], 1, 16) === undefined) return end(state, answer, 552);
  if (args.length === 1) answer.line(`+QICSGP: 1,"${state.apn ?? ''}","","",0`);
  else if (args[1] !== '1') return end(state, answer, 552);
  else state.apn = args[2] ?? '';
  end(state, answer, 0);
}

function handleActivate(state: QuectelState, { kind, args }: AtCommand, answer: AtAnswer) {
  const { cellular } = state.context;
  const { address, contexts } = cellular.persistent;
  if (kind !== 'set') {
    if (state.active) answer.line(`+QIACT: 1,1,1,"${address}"`);
    return end(state, answer, 0);
  }
  if (args[0] !== '1') return end(state, answer, 552);
  if (state.active) return end(state, answer, 561);
  answer.later(ACTIVATION_MS, () => {
    state.active = cellular.reachesApn(state.apn ?? contexts.get(1)?.apn ?? '');
    end(state, answer, state.active ? 0 : 561);
  });
}

function handleDeactivate(state: QuectelState, _: AtCommand, answer: AtAnswer): void {
  answer.later(ACTIVATION_MS, () => {
    state.active = false;
    closeAllSockets(state);
    end(state, answer, 0);
  });
}
