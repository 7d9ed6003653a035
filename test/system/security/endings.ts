import type { SeededRandom } from '../../support/seed.js';
import { type Copy, keepCopies } from './copies.js';
import { DAMAGES, type Damage, rollBack, setOneBack, setOthersBack, setWindowsBack } from './damage.js';

/** What is set back, and to what. */
interface Return {
  readonly to: 'a moment while it ran' | 'a clean stop';
  /** Whether numbers are set back. Otherwise they speak against windows of an earlier stop. */
  readonly isOfNumbers: boolean;
  setBack(folder: string, copy: string, random: SeededRandom): void;
}

const FOLDER_TO_A_MOMENT: Return = { to: 'a moment while it ran', isOfNumbers: true, setBack: rollBack };
const FOLDER_TO_A_STOP: Return = { to: 'a clean stop', isOfNumbers: true, setBack: rollBack };
const ONE_NUMBER_FILE: Return = { to: 'a moment while it ran', isOfNumbers: false, setBack: setOneBack };
const WINDOWS: Return = { to: 'a clean stop', isOfNumbers: false, setBack: setWindowsBack };
const ALL_BUT_NUMBERS: Return = { to: 'a clean stop', isOfNumbers: false, setBack: setOthersBack };

/** What happens to a state folder: each as often as it is here, in random order. */
const SERIES: readonly (readonly [event: string, what: Damage | Return | 'nothing'])[] = [
  ...Object.entries(DAMAGES),
  ['nothing', 'nothing'],
  ['nothing', 'nothing'],
  ['one number file set back', ONE_NUMBER_FILE],
  ['windows set back', WINDOWS],
  ['all but the numbers set back', ALL_BUT_NUMBERS],
  ['set back to a moment while it ran', FOLDER_TO_A_MOMENT],
  ['set back to a moment while it ran', FOLDER_TO_A_MOMENT],
  ['set back to a clean stop', FOLDER_TO_A_STOP],
  ['set back to a clean stop', FOLDER_TO_A_STOP],
];

/** All that can happen. */
export const EVENTS = [...new Set(SERIES.map(([event]) => event))];

/** How an agent ends, and what happens to its folder. */
export interface Ending {
  readonly event: string;
  /** By SIGKILL; or by SIGTERM, as systemd does. */
  readonly isKilled: boolean;
  /** It happens while the agent runs, and not after its end. */
  readonly isBefore: boolean;
  readonly inflict: () => void;
  readonly losesNumbers: boolean;
  readonly losesWindows: boolean;
  readonly setsNumbersBack: boolean;
  /** The clean stop that the whole folder is set back to. */
  readonly cleanStop: Copy | undefined;
}

/** Draws endings for an agent with this state folder. */
export function drawEndings(state: string, random: SeededRandom) {
  const copies = { 'a moment while it ran': keepCopies(state, random), 'a clean stop': keepCopies(state, random) };
  let series: (typeof SERIES)[number][] = [];

  function next(): Ending {
    if (series.length === 0) series = [...SERIES];
    const [[event, what] = ['nothing', 'nothing'] as const] = series.splice(random.integer(series.length), 1);
    // Windows are there only after a clean stop. An agent that runs goes on with its own numbers.
    const isOfWindows = event.startsWith('windows');
    const isKilled = !isOfWindows && random.integer(2) === 0;
    const isBefore = !isOfWindows && what !== ALL_BUT_NUMBERS && random.integer(4) === 0;
    const harmless = { isKilled, isBefore, losesNumbers: false, losesWindows: false };
    const nothing = { ...harmless, event: 'nothing', inflict: () => undefined, ...NOT_BACK };
    if (what === 'nothing') return nothing;
    if ('inflict' in what) {
      const { losesNumbers, losesWindows } = what;
      const inflict = () => what.inflict(state, random);
      return { ...harmless, event, inflict, losesNumbers, losesWindows, ...NOT_BACK };
    }
    const copy = copies[what.to].any();
    if (copy === undefined) return nothing;
    const cleanStop = what === FOLDER_TO_A_STOP ? copy : undefined;
    const losesWindows = what !== FOLDER_TO_A_STOP && what !== ONE_NUMBER_FILE;
    const inflict = () => what.setBack(state, copy.folder, random);
    return { ...harmless, event, inflict, losesWindows, setsNumbersBack: what.isOfNumbers, cleanStop };
  }

  return { next, copies };
}

const NOT_BACK = { setsNumbersBack: false, cleanStop: undefined };
