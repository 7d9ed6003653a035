/**
 * How long tests wait for what must come, in milliseconds: a slow machine must not fail what a fast one passes, and only
 * what hangs takes it.
 */
export const WAIT_MS = 30_000;
