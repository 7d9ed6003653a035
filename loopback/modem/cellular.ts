import type { ModemClock } from './clock.js';

/** Status of the SIM slot. */
export const SIM_STATUSES = ['ready', 'pin', 'puk', 'absent', 'failure'] as const;
export type SimStatus = (typeof SIM_STATUSES)[number];

/** Registration states; the position in the list is the number (3GPP TS 27.007, 7.2). */
export const REGISTRATIONS = ['idle', 'home', 'searching', 'denied', 'unknown', 'roaming'] as const;
export type Registration = (typeof REGISTRATIONS)[number];

export const PIN = '1234';
const PIN_TRIES = 3;
const APN = 'super';
/** Time after power-on in which the SIM does not answer. */
const SIM_BOOT_MS = 150;
const REGISTRATION_MS = 250;

/** State that a restart does not change: SIM, network, and the modem's own memory. */
export interface PersistentState {
  readonly address: string;
  readonly iccid: string;
  readonly imei: string;
  readonly imsi: string;
  sim: SimStatus;
  /** Whether the SIM asks for its PIN at power-on. */
  pinEnabled: boolean;
  pinTries: number;
  /** The network's answer to a modem that wants to register. */
  network: Registration;
  /** Received signal strength; undefined: unknown. */
  dbm: number | undefined;
  readonly contexts: Map<number, { readonly type: string; readonly apn: string }>;
  /** StandardSettings that the modem keeps over a restart. */
  readonly memory: Map<string, string>;
}

export interface Cellular {
  readonly persistent: PersistentState;
  /** Whether the SIM does not answer yet after power-on. */
  isSimBooting(): boolean;
  enterPin(pin: string): boolean;
  functionality(): number;
  setFunctionality(level: number): void;
  registration(): Registration;
  setAttach(attach: boolean): void;
  /** Registered, and with a packet service: datagrams can be sent and received. */
  attached(): boolean;
  /** Whether a context with this APN can be activated. */
  reachesApn(apn: string): boolean;
  /** Applies a change of the SIM or the network. */
  refresh(): void;
}

export interface CellularOptions {
  readonly clock: ModemClock;
  readonly persistent: PersistentState;
  /** The PIN has been entered. */
  readonly onUnlocked: () => void;
  readonly onRegistration: (registration: Registration) => void;
  /** The modem is no longer attached, and so has no context. */
  readonly onDetach: () => void;
}

/** The SIM and the radio part of a modem that has just been switched on. */
export function createCellular({ clock, persistent, onUnlocked, onRegistration, onDetach }: CellularOptions): Cellular {
  let simPoweredAt = clock.now();
  let level = 1;
  let wantsAttach = true;
  let registration: Registration = 'idle';
  let apnAtAttach = '';
  let cancelSearch = () => {};

  const canRegister = () => level === 1 && persistent.sim === 'ready';
  const isRegistered = () => registration === 'home' || registration === 'roaming';
  const attached = () => isRegistered() && wantsAttach;

  function setRegistration(next: Registration): void {
    if (next === registration) return;
    const was = attached();
    registration = next;
    if (attached()) apnAtAttach = persistent.contexts.get(1)?.apn ?? '';
    onRegistration(next);
    if (was && !attached()) onDetach();
  }

  function search() {
    cancelSearch();
    if (!canRegister()) return setRegistration('idle');
    if (persistent.network === registration) return;
    if (persistent.network === 'home' || persistent.network === 'roaming') {
      if (!isRegistered()) setRegistration('searching');
      cancelSearch = clock.after(REGISTRATION_MS, () => setRegistration(persistent.network));
    } else setRegistration(persistent.network);
  }

  /** Powers the SIM, which then wants its PIN again. */
  function powerSim(): void {
    simPoweredAt = clock.now();
    if (persistent.pinEnabled && persistent.sim === 'ready') persistent.sim = 'pin';
    clock.after(SIM_BOOT_MS, search);
  }

  powerSim();

  return {
    persistent,
    isSimBooting: () => clock.now() - simPoweredAt < SIM_BOOT_MS,
    enterPin(pin) {
      if (persistent.sim !== 'pin') return false;
      if (pin !== PIN) {
        persistent.pinTries -= 1;
        if (persistent.pinTries === 0) persistent.sim = 'puk';
        return false;
      }
      persistent.pinTries = PIN_TRIES;
      persistent.sim = 'ready';
      onUnlocked();
      search();
      return true;
    },
    functionality: () => level,
    setFunctionality(next) {
      const hadPower = level !== 0;
      level = next;
      if (hadPower || next === 0) search();
      else powerSim();
    },
    registration: () => registration,
    setAttach(attach) {
      const was = attached();
      wantsAttach = attach;
      if (was && !attached()) onDetach();
    },
    attached,
    // Other APNs belong to other operators; for an empty one the network chooses its own.
    reachesApn: (apn) => attached() && [apn, apnAtAttach].every((name) => name === '' || name === APN),
    refresh: search,
  };
}

/** The line about the SIM that is printed at power-on. */
export const simLine = ({ sim }: PersistentState): string =>
  `+CPIN: ${{ ready: 'READY', pin: 'SIM PIN', puk: 'SIM PUK', absent: 'NOT INSERTED', failure: 'NOT READY' }[sim]}`;

export const newPersistentState = (
  identity: Pick<PersistentState, 'address' | 'iccid' | 'imei' | 'imsi'>,
): PersistentState => ({
  ...identity,
  sim: 'ready',
  pinEnabled: false,
  pinTries: PIN_TRIES,
  network: 'roaming',
  dbm: -71,
  contexts: new Map([[1, { type: 'IP', apn: '' }]]),
  memory: new Map(),
});
