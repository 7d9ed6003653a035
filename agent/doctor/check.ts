import { raceTimeout } from '../../shared/async/with-timeout.js';
import { messageOf } from '../../shared/errors.js';
import type { Context } from './context.js';
import { type Finding, type Judgement, note } from './finding.js';

const DEFAULT_LOOK_MS = 20_000;

/** A check. Looking and judging are separate, so that tests can judge what is rarely observed. */
export interface CheckDefinition<Observation> {
  readonly name: string;
  /** Time limit of `look` in milliseconds, where it differs from the default. */
  readonly lookMs?: number;
  /** Reads the system. Changes nothing, and sends nothing to any network. */
  look(context: Context): Promise<Observation>;
  /** Pure. */
  judge(observation: Observation): readonly Judgement[];
}

/** A check of any observation. */
export interface Check {
  readonly name: string;
  run(context: Context): Promise<Finding[]>;
}

/** Makes a check whose `run` always resolves: an error or a time-out becomes a note. */
export function defineCheck<Observation>({
  name,
  look,
  judge,
  lookMs = DEFAULT_LOOK_MS,
}: CheckDefinition<Observation>): Check {
  return {
    name,
    async run(context) {
      const judgements = await raceTimeout(lookMs, look(context).then(judge), { reason: notFinished }).catch(
        (error: unknown) => [note(name, `the check failed: ${messageOf(error)}`)],
      );
      return judgements.map((judgement) => ({ check: name, ...judgement }));
    },
  };
}

const notFinished = (ms: number) => new Error(`not finished after ${ms / 1000} s`);
