import { type Command, integer } from '../../at/command-line.js';
import type { Answer, Handler } from '../../at/interpreter.js';
import { bootLines } from '../../at/unit.js';
import { simLine } from '../../cellular.js';
import type { Dialect, DialectContext } from '../dialect.js';
import { accepted, answers, bindTo, setting, withSim } from '../standard-commands.js';
import { quectelError } from './errors.js';
import { send, sendHex } from './send.js';
import { close, listSockets, open, read, receive } from './sockets.js';
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

/** A shorter number is filled up as it is on the SIM. */
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
    receive: (port, datagram) => receive(state, port, datagram),
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

function commandsOf(state: QuectelState): Record<string, Handler> {
  const { context } = state;
  const { persistent } = context.cellular;
  const bind = bindTo(state);
  return {
    ...Object.fromEntries(['+QSCLK', '+QCFG', '+QPOWD', '+QNWINFO'].map((name) => [name, accepted()])),
    '+QCCID': withSim(
      context,
      answers(() => `+QCCID: ${persistent.iccid.padEnd(ICCID_DIGITS, 'F')}`),
    ),
    '+QISDE': setting('+QISDE', 0, 1, state.echoesData),
    '+QIGETERROR': answers(() => `+QIGETERROR: ${quectelError(state.lastError)}`),
    '+QICFG': bind(configure),
    '+QURCCFG': bind(configureUrcPort),
    '+QICSGP': bind(defineContext),
    '+QIACT': withSim(context, bind(activate)),
    '+QIDEACT': bind(deactivate),
    '+QIOPEN': withSim(context, bind(open)),
    '+QISEND': bind(send),
    '+QISENDEX': bind(sendHex),
    '+QIRD': bind(read),
    '+QICLOSE': bind(close),
    '+QISTATE': bind(listSockets),
  };
}

function configure(state: QuectelState, { args }: Command, answer: Answer) {
  const { settings, isEc200u } = state;
  const [key = '', ...values] = args;
  if (!settings.has(key) || (EC200U_SETTINGS.has(key) && !isEc200u)) return end(state, answer, 552);
  // Sending hexadecimal digits behind a prompt is not known well enough.
  if (key === 'dataformat' && values[0] === '1') return end(state, answer, 555);
  if (values.length === 0) answer.line(`+QICFG: "${key}",${settings.get(key)}`);
  else settings.set(key, values.join(','));
  end(state, answer, 0);
}

function configureUrcPort(state: QuectelState, { args }: Command, answer: Answer) {
  if (args[0] !== 'urcport') return answer.error();
  if (args[1] === undefined) answer.line(`+QURCCFG: "urcport","${state.urcPort}"`);
  else if (!URC_PORTS.includes(args[1])) return answer.error();
  else state.urcPort = args[1];
  answer.ok();
}

function defineContext(state: QuectelState, { args }: Command, answer: Answer) {
  if (integer(args[0], 1, 16) === undefined) return end(state, answer, 552);
  if (args.length === 1) answer.line(`+QICSGP: 1,"${state.apn ?? ''}","","",0`);
  else if (args[1] !== '1') return end(state, answer, 552);
  else state.apn = args[2] ?? '';
  end(state, answer, 0);
}

function activate(state: QuectelState, { kind, args }: Command, answer: Answer) {
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

function deactivate(state: QuectelState, _: Command, answer: Answer): void {
  answer.later(ACTIVATION_MS, () => {
    state.active = false;
    closeAllSockets(state);
    end(state, answer, 0);
  });
}
