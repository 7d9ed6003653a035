/**
 * How a command ended, as the device knows it: `done` (ran), `failed` (ran, or was started, and reports an error),
 * `refused` (never ran), `interrupted` (was started, and may have run: the agent or the device went down meanwhile).
 */
export const DEVICE_OUTCOMES = ['done', 'failed', 'refused', 'interrupted'] as const;
export type DeviceOutcome = (typeof DEVICE_OUTCOMES)[number];

/**
 * How a command ended, as its caller knows it. Besides the device's own: `not-sent` (the API refused it, it was
 * cancelled, or the network did not send it) and `no-answer` (it may have run; also when the fate of the API call
 * is not known).
 */
export const OUTCOMES = [...DEVICE_OUTCOMES, 'not-sent', 'no-answer'] as const;
export type Outcome = (typeof OUTCOMES)[number];
