import { messageOf } from '../../shared/errors.js';
import { raceTimeout } from '../../shared/with-timeout.js';
import type { Context } from './context.js';
import { type Finding, type Judgement, note } from './finding.js';

/** How long a check may look, where it does not say. */
const LOOK_MS = 20_000;

/** One thing that can be wrong. Looking and judging are apart, so that what is rarely seen can be judged too. */
export interface CheckDefinition<Seen> {
  readonly name: string;
  /** How long it may look, in milliseconds, where that is longer than usual. */
  readonly lookMs?: number;
  /** Reads what there is to see. It changes nothing, and sends nothing to any network. */
  look(context: Context): Promise<Seen>;
  /** Pure. */
  judge(seen: Seen): readonly Judgement[];
}

/** A check, whatever it sees. */
export interface Check {
  readonly name: string;
  run(context: Context): Promise<Finding[]>;
}

/** Makes a check that always ends: one that throws or takes too long could not look, which it says. */
export function defineCheck<Seen>({ name, look, judge, lookMs = LOOK_MS }: CheckDefinition<Seen>): Check {
  return {
    name,
    async run(context) {
      const judgements = await raceTimeout(lookMs, look(context).then(judge), { reason: noEnd }).catch(
        (error: unknown) => [note(name, `it could not be looked at: ${messageOf(error)}`)],
      );
      return judgements.map((judgement) => ({ check: name, ...judgement }));
    },
  };
}

const noEnd = (ms: number) => new Error(`no end in ${ms / 1000} s`);
