import type { Clock } from './clock.js';

/** What a SIM’s slot may hold. */
export const SIM_STATUSES = ['ready', 'pin', 'puk', 'absent', 'failure'] as const;
export type SimStatus = (typeof SIM_STATUSES)[number];

/** 3GPP TS 27.007, 7.2: the position in the list is the number. */
export const REGISTRATIONS = ['idle', 'home', 'searching', 'denied', 'unknown', 'roaming'] as const;
export type Registration = (typeof REGISTRATIONS)[number];

export const PIN = '1234';
const PIN_TRIES = 3;
const APN = 'super';
/** How long the SIM is not to be spoken to after power-on. */
const SIM_WAKES_MS = 150;
const REGISTERS_MS = 250;

/** What stays as it is when the modem restarts: SIM, network, and what the modem keeps in its own memory. */
export interface PersistentState {
  readonly address: string;
  readonly iccid: string;
  readonly imei: string;
  readonly imsi: string;
  sim: SimStatus;
  /** The SIM asks for its PIN whenever it gets power. */
  locks: boolean;
  pinTries: number;
  /** What the network answers to a modem that asks for service. */
  network: Registration;
  /** Received signal strength; undefined: unknown. */
  dbm: number | undefined;
  readonly contexts: Map<number, { readonly type: string; readonly apn: string }>;
  /** Of settings that outlive a restart. */
  readonly memory: Map<string, string>;
}

export interface Cellular {
  readonly persistent: PersistentState;
  /** Between power-on and when the SIM answers. */
  isSimBooting(): boolean;
  enterPin(pin: string): boolean;
  functionality(): number;
  setFunctionality(level: number): void;
  registration(): Registration;
  setAttach(attach: boolean): void;
  /** Registered, and with a packet service: datagrams come and go. */
  attached(): boolean;
  /** Whether a context with this APN can be activated. */
  reachesApn(apn: string): boolean;
  /** The SIM or the network is another now. */
  refresh(): void;
}

export interface CellularOptions {
  readonly clock: Clock;
  readonly persistent: PersistentState;
  /** The PIN has been entered. */
  readonly onUnlocked: () => void;
  readonly onRegistration: (registration: Registration) => void;
  /** No longer attached, and so without a context. */
  readonly onDetach: () => void;
}

/** The SIM and the radio part of a modem that has just been switched on. */
export function createCellular({ clock, persistent, onUnlocked, onRegistration, onDetach }: CellularOptions): Cellular {
  let wokenAt = clock.now();
  let level = 1;
  let wantsAttach = true;
  let registration: Registration = 'idle';
  let apnAtAttach = '';
  let cancelSearch = () => {};

  const serves = () => level === 1 && persistent.sim === 'ready';
  const isRegistered = () => registration === 'home' || registration === 'roaming';
  const attached = () => isRegistered() && wantsAttach;

  function become(next: Registration): void {
    if (next === registration) return;
    const was = attached();
    registration = next;
    if (attached()) apnAtAttach = persistent.contexts.get(1)?.apn ?? '';
    onRegistration(next);
    if (was && !attached()) onDetach();
  }

  function search() {
    cancelSearch();
    if (!serves()) return become('idle');
    if (persistent.network === registration) return;
    if (persistent.network === 'home' || persistent.network === 'roaming') {
      if (!isRegistered()) become('searching');
      cancelSearch = clock.after(REGISTERS_MS, () => become(persistent.network));
    } else become(persistent.network);
  }

  /** The SIM gets power, and has forgotten that its PIN was entered. */
  function wakeSim(): void {
    wokenAt = clock.now();
    if (persistent.locks && persistent.sim === 'ready') persistent.sim = 'pin';
    clock.after(SIM_WAKES_MS, search);
  }

  wakeSim();

  return {
    persistent,
    isSimBooting: () => clock.now() - wokenAt < SIM_WAKES_MS,
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
      else wakeSim();
    },
    registration: () => registration,
    setAttach(attach) {
      const was = attached();
      wantsAttach = attach;
      if (was && !attached()) onDetach();
    },
    attached,
    // Other APNs are another operator's; without one the network gives its own.
    reachesApn: (apn) => attached() && [apn, apnAtAttach].every((name) => name === '' || name === APN),
    refresh: search,
  };
}

/** What is printed of the SIM at power-on. */
export const simLine = ({ sim }: PersistentState): string =>
  `+CPIN: ${{ ready: 'READY', pin: 'SIM PIN', puk: 'SIM PUK', absent: 'NOT INSERTED', failure: 'NOT READY' }[sim]}`;

export const newPersistentState = (
  identity: Pick<PersistentState, 'address' | 'iccid' | 'imei' | 'imsi'>,
): PersistentState => ({
  ...identity,
  sim: 'ready',
  locks: false,
  pinTries: PIN_TRIES,
  network: 'roaming',
  dbm: -71,
  contexts: new Map([[1, { type: 'IP', apn: '' }]]),
  memory: new Map(),
});
