/**
 * How a command ended, as far as a device can know it:
 * `done` (ran), `failed` (ran, or was started, and reports an error), `refused` (never ran).
 */
export const OUTCOMES = ['done', 'failed', 'refused'] as const;
export type Outcome = (typeof OUTCOMES)[number];
