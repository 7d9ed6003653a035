import type { AtCommand } from '../../at/command-line.js';
import type { AtAnswer, AtHandler } from '../../at/interpreter.js';
import { latin1 } from '../../at/output-unit.js';
import type { Dialect, DialectContext } from '../dialect.js';
import { answerLine, answerOk, bindTo, remembered, setting, withSim } from '../standard-commands.js';
import { handleClose, handleControl, handleCreate, handleRead, handleSendTo, receiveDatagram } from './sockets.js';
import { createUbloxState, type UbloxQuirks, type UbloxState } from './state.js';

const ACTIVATION_MS = 50;
const NAMES = { 'SARA-R5': 'SARA-R510S-01B', 'SARA-R4': 'SARA-R410M-02B', 'SARA-U201': 'SARA-U201' } as const;

/** SARA-R4, SARA-R5, SARA-U201, LARA (docs/vendor-facts.md, "u-blox: models and limits"). */
export function createUblox(context: DialectContext, quirks: UbloxQuirks): Dialect {
  const state = createUbloxState(context, quirks);
  const { sockets, isR4 } = state;
  return {
    model: { manufacturer: 'u-blox', name: NAMES[quirks.model], revision: '02.06,A00.01' },
    unknown: 'cme',
    idleUrc: '+UMWI: 0,1',
    restartLevels: [15, 16],
    boot: [{ at: 100, bytes: latin1('\0\0') }],
    commands: commandsOf(state),
    receive: (port, datagram) => receiveDatagram(state, port, datagram),
    onContextLost() {
      if (!isR4 && !state.activated) return;
      state.activated = false;
      sockets.closeAll();
      context.urc('+UUPSDD: 0');
    },
    closeSocket(id) {
      const socket = id === undefined ? sockets.all()[0] : sockets.get(id);
      if (socket === undefined) return false;
      sockets.close(socket.id);
      context.urc(`+UUSOCL: ${socket.id}`);
      return true;
    },
    sockets: sockets.views,
  };
}

function commandsOf(state: UbloxState): Record<string, AtHandler> {
  const { context, isR4 } = state;
  const { persistent } = context.cellular;
  const bind = bindTo(state);
  return {
    ...Object.fromEntries(['+UPSV', '+UMNOPROF', '+UGPIOC'].map((name) => [name, answerOk()])),
    '+URAT': remembered(context, '+URAT', '7,8'),
    '+CCID': withSim(
      context,
      answerLine(() => `+CCID: ${persistent.iccid}`),
    ),
    '+UDCONF': bind(handleConfigure),
    '+UPSD': (_, answer) => (isR4 ? answer.cme(4) : answer.ok()),
    '+UPSDA': withSim(context, bind(handleActivate)),
    '+UPSND': bind(handleContext),
    '+USOCR': withSim(context, bind(handleCreate)),
    '+USOST': bind(handleSendTo),
    '+USORF': bind(handleRead),
    '+USORD': bind(handleRead),
    '+USOCL': bind(handleClose),
    '+USOER': answerLine(() => `+USOER: ${state.lastError}`),
    '+USOCTL': bind(handleControl),
  };
}

function handleConfigure({ hex }: UbloxState, command: AtCommand, answer: AtAnswer) {
  const { args } = command;
  if (args[0] !== '1') return answer.cme(50);
  if (args.length > 1) return setting('+UDCONF', 0, 1, hex)({ ...command, args: args.slice(1) }, answer);
  answer.line(`+UDCONF: 1,${hex.current}`);
  answer.ok();
}

/** `AT+UPSDA`, which the R4 does not have. */
function handleActivate(state: UbloxState, { kind, args }: AtCommand, answer: AtAnswer) {
  const { clock, cellular, delayedResult } = state.context;
  const { address, contexts } = cellular.persistent;
  if (state.isR4) return answer.cme(4);
  if (kind !== 'set' || args[0] !== '0') return answer.cme(50);
  if (args[1] === '4') {
    state.activated = false;
    state.sockets.closeAll();
    return answer.ok();
  }
  if (args[1] !== '3' || state.activated || !cellular.reachesApn(contexts.get(1)?.apn ?? '')) return answer.cme(148);
  answer.ok();
  clock.after(ACTIVATION_MS, () => {
    state.activated = cellular.attached();
    delayedResult(state.activated ? `+UUPSDA: 0,"${address}"` : '+UUPSDA: 1');
  });
}

/** `AT+UPSND`, which the R4 does not have. */
function handleContext({ context, isR4, activated }: UbloxState, { args }: AtCommand, answer: AtAnswer) {
  if (isR4) return answer.cme(4);
  const address = activated ? context.cellular.persistent.address : '0.0.0.0';
  answer.line(`+UPSND: 0,${args[1] ?? 0},${args[1] === '8' ? Number(activated) : `"${address}"`}`);
  answer.ok();
}
