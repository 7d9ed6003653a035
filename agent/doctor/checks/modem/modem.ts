import { realpath } from 'node:fs/promises';
import { isSupersimError, SupersimError } from '../../../../shared/errors.js';
import type { Config } from '../../../config/schema.js';
import type { Ask } from '../../../service/control/client.js';
import { AT_ANSWER_MS, atAnswerSchema, modemSchema } from '../../../service/control/schema.js';
import type { Outcome } from '../../../transport/modem/at/request.js';
import type { Script } from '../../../transport/modem/at/script.js';
import { withMeaning } from '../../../transport/modem/console/cme-errors.js';
import { inspectNetwork, type ProbedNetwork, probePorts } from '../../../transport/modem/console/probe.js';
import { defineCheck } from '../../check.js';
import { failure, fault, fromError, good, type Judgement, note, warning } from '../../finding.js';

/** Weaker than this, much gets lost. */
const WEAK_DBM = -115;
/** A modem that looks for its operator takes its time. */
const LOOK_MS = 120_000;

interface Seen {
  /** `modem.path`. */
  readonly path: string | undefined;
  /** How it was asked. */
  readonly via: 'agent' | 'port';
  readonly apn: string;
  readonly hasPin: boolean;
  readonly modem: ProbedNetwork | SupersimError | undefined;
}

/** What the modem says of itself, its SIM and its network: asked through the agent while that uses it, else itself. */
export const modem = defineCheck<Seen>({
  name: 'modem',
  lookMs: LOOK_MS,
  async look({ config, ask }) {
    const { path, apn, pin } = config.modem;
    const seen = { path, apn, hasPin: pin !== undefined };
    if (path === undefined) return { ...seen, via: 'port', modem: undefined };
    const isAgents = await usesPort(ask, path);
    return isAgents
      ? { ...seen, via: 'agent', modem: await askThrough(ask) }
      : { ...seen, via: 'port', modem: await askPort(path, config) };
  },
  judge: judgeModem,
});

/** Whether an agent runs that uses this port. */
async function usesPort(ask: Ask, path: string): Promise<boolean> {
  const used = await ask('GET', '/modem', modemSchema).catch(() => undefined);
  if (used === undefined) return false;
  const [one, other] = await Promise.all([used.path, path].map((each) => realpath(each).catch(() => each)));
  return one === other;
}

async function askPort(path: string, { modem: { baudRate } }: Config): Promise<ProbedNetwork | SupersimError> {
  const { ports, modem: found } = await probePorts([path], baudRate);
  if (found !== undefined) return found;
  return ports[0]?.error ?? new SupersimError('modem-silent', `nothing answers AT on ${path}`);
}

/** Commands go between the agent's own. */
async function askThrough(ask: Ask): Promise<ProbedNetwork | SupersimError> {
  try {
    return await runThrough(ask, inspectNetwork());
  } catch (error) {
    if (isSupersimError(error)) return error;
    throw error;
  }
}

async function runThrough<T>(ask: Ask, script: Script<T>): Promise<T> {
  let next = script.next({ ok: true, lines: [], payloads: 0 });
  while (next.done !== true) {
    const outcome: Outcome = 'command' in next.value ? await runOne(ask, next.value.command) : NOTHING;
    next = script.next(outcome);
  }
  return next.value;
}

const NOTHING: Outcome = { ok: true, lines: [], payloads: 0 };

async function runOne(ask: Ask, command: string): Promise<Outcome> {
  const url = `/modem/at?command=${encodeURIComponent(command)}`;
  const { lines } = await ask('POST', url, atAnswerSchema, { answerMs: AT_ANSWER_MS });
  const result = lines.at(-1) ?? '';
  const before = lines.slice(0, -1);
  if (result === 'OK') return { ok: true, lines: before, payloads: 0 };
  return { ok: false, failure: 'refused', error: result, lines: before };
}

export function judgeModem({ path, via, apn, hasPin, modem: found }: Seen): Judgement[] {
  if (path === undefined) {
    const remedy =
      'One that ModemManager has is shown by `mmcli -m any`; `sudo supersim-agent modem probe` finds one for `modem.path`.';
    return [note('modem.path', 'no modem is configured for the agent', remedy)];
  }
  const looked = `modem at ${path}, asked ${via === 'agent' ? 'through the agent' : 'by its port'}`;
  if (found === undefined) return [note(looked, 'nothing is known')];
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
  if (isAsked && !hasPin) return [fault(looked, 'the SIM asks for its PIN', 'Write it into `modem.pin`, in quotes.')];
  if (isAsked) {
    const remedy = 'Correct `modem.pin`; after three wrong ones the SIM asks for its PUK.';
    return [fault(looked, 'the SIM asks for its PIN, and has not taken that of `modem.pin`', remedy)];
  }
  if (/PUK|^\+CME ERROR: ?12$/.test(sim)) {
    const remedy =
      'Get the PUK from who gave you the SIM, and give it with `sudo supersim-agent modem at`: AT+CPIN="PUK","NEW PIN".';
    return [fault(looked, 'the SIM is locked: it asks for its PUK', remedy)];
  }
  const remedy = 'Put the SIM in, the right way round, and look whether it sits tight; then restart the modem.';
  return [fault(looked, `the SIM cannot be used: ${withMeaning(sim)}`, remedy)];
}

function judgeNetwork(looked: string, { sim, registration, attached, operator, address }: ProbedNetwork): Judgement[] {
  if (sim !== 'READY') return [];
  const where = operator === undefined ? '' : ` with ${operator}`;
  if (registration === 'denied') {
    const remedy = 'Look whether the SIM is active, and its fleet lets it use networks here: `GET /v1/Sims`.';
    return [fault(looked, 'the network denies the SIM', remedy)];
  }
  if (registration === 'searching' || registration === 'idle' || registration === 'unknown') {
    const remedy =
      'Check antenna and place. If it lasts, the radio may be off: `sudo supersim-agent modem at AT+CFUN?` says 1 when it is on.';
    return [failure(looked, `it is registered with no network (${registration})`, 'link-down', remedy)];
  }
  if (!attached) {
    const remedy =
      'Commands fail with 83401 until it is. Check `modem.apn`, and that data is enabled for the fleet of the SIM.';
    return [failure(looked, `registered${where}, but not attached to the packet network`, 'link-down', remedy)];
  }
  return [good(looked, `registered (${registration})${where}, attached${address === undefined ? '' : `, ${address}`}`)];
}

/** Some networks' names come back with their operator's code behind them. */
function judgeApn(looked: string, { apn }: ProbedNetwork, wanted: string): Judgement[] {
  const own = apn?.toLowerCase();
  if (own === undefined) return [];
  if (own === wanted.toLowerCase() || own.startsWith(`${wanted.toLowerCase()}.mnc`)) return [];
  const remedy = 'Let the agent set it: restart it. If the modem forgets it, correct `modem.apn`.';
  return [warning(looked, `its APN is ${apn}, and not ${wanted}`, remedy)];
}

function judgeSignal(looked: string, { signalDbm }: ProbedNetwork): Judgement {
  if (signalDbm === undefined) return note(looked, 'it does not know its signal');
  if (signalDbm >= WEAK_DBM) return good(looked, `signal ${signalDbm} dBm`);
  return warning(looked, `the signal is weak: ${signalDbm} dBm`, 'Move the antenna, or use a better one.');
}
