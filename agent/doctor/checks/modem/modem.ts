import { realpath } from 'node:fs/promises';
import { isSupersimError, SupersimError } from '../../../../shared/errors.js';
import type { Config } from '../../../config/schema.js';
import type { Ask } from '../../../service/control/client.js';
import { AT_ANSWER_MS, atAnswerSchema, modemSchema } from '../../../service/control/schema.js';
import type { AtOutcome } from '../../../transport/modem/at/request.js';
import type { Script } from '../../../transport/modem/at/script.js';
import { explainCmeError } from '../../../transport/modem/console/cme-errors.js';
import { inspectNetwork, type ProbedNetwork, probePorts } from '../../../transport/modem/console/probe.js';
import { defineCheck } from '../../check.js';
import { failure, fromError, good, type Judgement, note, warning } from '../../finding.js';

/** Below this signal datagrams get lost. */
const WEAK_DBM = -115;
/** AT+COPS? can take long while the modem searches. */
const LOOK_MS = 120_000;

interface Observation {
  /** `modem.path`. */
  readonly path: string | undefined;
  /** Through the running agent, or by the serial port. */
  readonly via: 'agent' | 'port';
  readonly apn: string;
  readonly hasPin: boolean;
  readonly modem: ProbedNetwork | SupersimError | undefined;
}

/** Checks the modem, its SIM and its network. AT commands go through the agent while it uses the modem. */
export const modem = defineCheck<Observation>({
  name: 'modem',
  lookMs: LOOK_MS,
  async look({ config, ask }) {
    const { path, apn, pin } = config.modem;
    const observed = { path, apn, hasPin: pin !== undefined };
    if (path === undefined) return { ...observed, via: 'port', modem: undefined };
    const isUsedByAgent = await usesPort(ask, path);
    return isUsedByAgent
      ? { ...observed, via: 'agent', modem: await askAgent(ask) }
      : { ...observed, via: 'port', modem: await askPort(path, config) };
  },
  judge: judgeModem,
});

/** Returns whether a running agent uses this port. */
async function usesPort(ask: Ask, path: string): Promise<boolean> {
  const used = await ask('GET', '/modem', modemSchema).catch(() => undefined);
  if (used === undefined) return false;
  const [one, other] = await Promise.all([used.path, path].map((each) => realpath(each).catch(() => each)));
  return one === other;
}

async function askPort(path: string, { modem: { baudRate } }: Config): Promise<ProbedNetwork | SupersimError> {
  const { ports, modem: found } = await probePorts([path], baudRate);
  if (found !== undefined) return found;
  return ports[0]?.error ?? new SupersimError('modem-silent', `no response to AT on ${path}`);
}

async function askAgent(ask: Ask): Promise<ProbedNetwork | SupersimError> {
  try {
    return await runByAgent(ask, inspectNetwork());
  } catch (error) {
    if (isSupersimError(error)) return error;
    throw error;
  }
}

async function runByAgent<T>(ask: Ask, script: Script<T>): Promise<T> {
  let next = script.next({ ok: true, lines: [], payloads: 0 });
  while (next.done !== true) {
    const outcome: AtOutcome = 'command' in next.value ? await runOne(ask, next.value.command) : NOTHING;
    next = script.next(outcome);
  }
  return next.value;
}

const NOTHING: AtOutcome = { ok: true, lines: [], payloads: 0 };

async function runOne(ask: Ask, command: string): Promise<AtOutcome> {
  const url = `/modem/at?command=${encodeURIComponent(command)}`;
  const { lines } = await ask('POST', url, atAnswerSchema, { answerMs: AT_ANSWER_MS });
  const result = lines.at(-1) ?? '';
  const before = lines.slice(0, -1);
  if (result === 'OK') return { ok: true, lines: before, payloads: 0 };
  return { ok: false, failure: 'refused', error: result, lines: before };
}

export function judgeModem({ path, via, apn, hasPin, modem: found }: Observation): Judgement[] {
  if (path === undefined) {
    const remedy =
      '`mmcli -m any` shows a modem of ModemManager; `sudo supersim-agent modem probe` finds a port for `modem.path`.';
    return [note('modem.path', 'no modem configured', remedy)];
  }
  const looked = `modem at ${path}, asked ${via === 'agent' ? 'through the agent' : 'by its port'}`;
  if (found === undefined) return [note(looked, 'no answer')];
  if (found instanceof Error) return [fromError(looked, found)];
  const judgements = [
    ...judgeSim(looked, found, hasPin),
    ...judgeNetwork(looked, found),
    ...judgeApn(looked, found, apn),
  ];
  return [...judgements, judgeSignal(looked, found)];
}

function judgeSim(looked: string, { sim }: ProbedNetwork, hasPin: boolean): Judgement[] {
  if (sim === 'READY') return [];
  const isAsked = sim === 'SIM PIN' || /^\+CME ERROR: ?11$/.test(sim);
  if (isAsked && !hasPin) return [failure(looked, 'the SIM asks for its PIN', 'Set `modem.pin`, in quotes.')];
  if (isAsked) {
    const remedy = 'Correct `modem.pin`; after three wrong PINs the SIM asks for its PUK.';
    return [failure(looked, 'the SIM asks for its PIN: it has not accepted `modem.pin`', remedy)];
  }
  if (/PUK|^\+CME ERROR: ?12$/.test(sim)) {
    const remedy =
      'Get the PUK from the SIM’s provider, and enter it with `sudo supersim-agent modem at`: AT+CPIN="PUK","NEW PIN".';
    return [failure(looked, 'the SIM is locked: it asks for its PUK', remedy)];
  }
  const remedy = 'Check that the SIM is inserted the right way round and firmly; then restart the modem.';
  return [failure(looked, `the SIM cannot be used: ${explainCmeError(sim)}`, remedy)];
}

function judgeNetwork(looked: string, { sim, registration, attached, operator, address }: ProbedNetwork): Judgement[] {
  if (sim !== 'READY') return [];
  const where = operator === undefined ? '' : ` with ${operator}`;
  if (registration === 'denied') {
    const remedy = 'Check that the SIM is active and its fleet may use networks here: `GET /v1/Sims`.';
    return [failure(looked, 'the network denied registration to the SIM', remedy)];
  }
  if (registration === 'searching' || registration === 'idle' || registration === 'unknown') {
    const remedy =
      'Check the antenna and its position. If it lasts, the radio may be off: `sudo supersim-agent modem at AT+CFUN?` answers 1 when it is on.';
    return [failure(looked, `not registered with a network (${registration})`, remedy, 'link-down')];
  }
  if (!attached) {
    const remedy =
      'Commands fail with 83401 until then. Check `modem.apn`, and that data is enabled for the SIM’s fleet.';
    return [failure(looked, `registered${where}, but not attached to the packet network`, remedy, 'link-down')];
  }
  return [good(looked, `registered (${registration})${where}, attached${address === undefined ? '' : `, ${address}`}`)];
}

/** Some networks append the operator's code: `super.mnc015.mcc234.gprs`. */
function judgeApn(looked: string, { apn }: ProbedNetwork, wanted: string): Judgement[] {
  const own = apn?.toLowerCase();
  if (own === undefined) return [];
  if (own === wanted.toLowerCase() || own.startsWith(`${wanted.toLowerCase()}.mnc`)) return [];
  const remedy = 'Restart the agent, which sets the APN. If the APN is lost again, correct `modem.apn`.';
  return [warning(looked, `its APN is ${apn} instead of ${wanted}`, remedy)];
}

function judgeSignal(looked: string, { signalDbm }: ProbedNetwork): Judgement {
  if (signalDbm === undefined) return note(looked, 'signal unknown');
  if (signalDbm >= WEAK_DBM) return good(looked, `signal ${signalDbm} dBm`);
  return warning(looked, `weak signal: ${signalDbm} dBm`, 'Move or replace the antenna.');
}
