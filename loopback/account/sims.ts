import { createHash } from 'node:crypto';
import { platform } from 'node:os';
import { parse } from 'yaml';
import * as z from 'zod';
import { checkInput } from '../../shared/check-input.js';
import { messageOf, SupersimError } from '../../shared/errors.js';

/**
 * States of a SIM. `inactive`: deactivated by its owner; `detached`: its device is not attached to the network. In both
 * nothing is delivered in either direction.
 */
export const SIM_STATES = ['active', 'inactive', 'detached'] as const;
export type SimState = (typeof SIM_STATES)[number];

/** Maximum number of SIMs in one loopback. */
export const MAX_SIMS = 10_000;

const name = z.string().min(1).max(64);

const simSchema = z.strictObject({
  name: name.describe('The SIM’s unique name.'),
  address: z.ipv4().optional().describe('Address that the SIM’s device has on this machine or network.'),
  sid: z
    .string()
    .regex(/^HS[0-9a-fA-F]{32}$/)
    .optional(),
  iccid: z
    .string()
    .regex(/^\d{18,22}$/)
    .optional(),
  fleet: name.default('fleet-1').describe('The unique name of its Fleet.'),
  state: z.enum(SIM_STATES).default('active').describe('Whether commands reach the device.'),
});

export const simsSchema = z.array(simSchema).min(1).max(MAX_SIMS);

/** A SIM as a sims file or an option describes it: only `name` is needed. */
export type SimInput = z.input<typeof simSchema>;

/** A SIM's state was set. */
export interface SimEvent {
  readonly type: 'sim';
  readonly simName: string;
  readonly state: SimState;
}

export interface Sim {
  readonly sid: string;
  readonly uniqueName: string;
  readonly iccid: string;
  readonly address: string;
  readonly fleetSid: string;
  readonly fleetName: string;
  readonly state: SimState;
}

/** Linux answers on the whole of 127.0.0.0/8; elsewhere there is one loopback address, without further set-up. */
export const FIRST_ADDRESS = platform() === 'linux' ? '127.0.0.2' : '127.0.0.1';

/** Generates SIMs named `gateway-1`, `gateway-2` and so on. */
export const generateSims = (count: number): SimInput[] =>
  Array.from({ length: count }, (_, index) => ({ name: `gateway-${index + 1}` }));

// SIDs and ICCIDs come from the names, so that they survive a restart.
const digest = (text: string) => createHash('sha256').update(text).digest('hex');
const sidFor = (prefix: string, kind: string, of: string) => `${prefix}${digest(`${kind} ${of}`).slice(0, 32)}`;

/** Derives an ICCID of 20 digits from the name, with the issuer prefix of the vendor's example. */
function iccidFor(simName: string): string {
  const serial = BigInt(`0x${digest(`iccid ${simName}`)}`) % 10n ** 13n;
  return `8988307${serial.toString().padStart(13, '0')}`;
}

function addressAt(index: number): string {
  const bytes = Buffer.from(FIRST_ADDRESS.split('.').map(Number));
  bytes.writeUInt32BE(bytes.readUInt32BE() + index);
  return [...bytes].join('.');
}

/**
 * Fills in what the input leaves out: addresses in order, SIDs and ICCIDs from the names.
 *
 * @throws SupersimError `bad-input` when the list is wrong, or two SIMs share a name, address, SID or ICCID
 */
export function resolveSims(input: unknown): Sim[] {
  const sims = checkSims(input).map((sim, index) => ({
    sid: sim.sid ?? sidFor('HS', 'sim', sim.name),
    uniqueName: sim.name,
    iccid: sim.iccid ?? iccidFor(sim.name),
    address: sim.address ?? addressAt(index),
    fleetSid: sidFor('HF', 'fleet', sim.fleet),
    fleetName: sim.fleet,
    state: sim.state,
  }));
  for (const key of ['uniqueName', 'address', 'sid', 'iccid'] as const) refuseShared(sims, key);
  return sims;
}

const checkSims = (input: unknown) => checkInput(simsSchema, input, 'sims', REMEDY);

function refuseShared(sims: readonly Sim[], key: 'uniqueName' | 'address' | 'sid' | 'iccid'): void {
  const first = new Map<string, number>();
  for (const [index, sim] of sims.entries()) {
    const earlier = first.get(sim[key]);
    if (earlier !== undefined) {
      throw simsError(`SIMs ${earlier + 1} and ${index + 1} have the same ${key}, ${sim[key]}`);
    }
    first.set(sim[key], index);
  }
}

/**
 * Parses a sims file: a YAML list with `name` and, as wanted, `address`, `sid`, `iccid`, `fleet`, `state`.
 *
 * @throws SupersimError `bad-input` when it is no YAML or no such list
 */
export function parseSimsFile(text: string): SimInput[] {
  let parsed: unknown;
  try {
    parsed = parse(text);
  } catch (error) {
    throw simsError(messageOf(error), error);
  }
  return checkSims(parsed);
}

function simsError(message: string, cause?: unknown): SupersimError {
  return new SupersimError('bad-input', `sims: ${message}`, {
    cause,
    remedy: REMEDY,
  });
}

const REMEDY = 'Write a YAML list of SIMs, each with `name` and, as wanted, address, sid, iccid, fleet, state.';
