/**
 * Outcomes that a device knows: `done` (ran), `failed` (ran or was started, and reported an error), `refused` (never
 * ran), `interrupted` (was started, and may have run: the agent or the device stopped meanwhile).
 */
export const DEVICE_OUTCOMES = ['done', 'failed', 'refused', 'interrupted'] as const;
export type DeviceOutcome = (typeof DEVICE_OUTCOMES)[number];

/**
 * Outcomes that a caller gets: those of the device, `not-sent` (the API refused it, it was cancelled, or the network did
 * not send it) and `no-answer` (it may have run; also when the result of the API call is unknown).
 */
export const OUTCOMES = [...DEVICE_OUTCOMES, 'not-sent', 'no-answer'] as const;
export type Outcome = (typeof OUTCOMES)[number];
