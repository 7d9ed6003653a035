import { SupersimError } from '../../../shared/errors.js';
import type { Journal } from './types.js';

/**
 * A journal that cannot be opened at all: the commands that need it are refused, as on a full disk. What is kept in
 * memory only would be lost with the process, and a repeat would run again.
 */
export function unavailableJournal(reason: string): Journal {
  const error = new SupersimError('busy', `there is no journal: ${reason}`, {
    remedy: 'Install the agent for this platform, or set `state.folder: none` if commands may run twice.',
  });
  const refuse = (_: unknown, done: (error: SupersimError) => void) => done(error);
  return {
    find: (_key, _peer, _lifetimeMs, then) => then({ kind: 'unknown', error }),
    accept: refuse,
    begin: refuse,
    start: refuse,
    refuse: (_command, _ending, done) => done(error),
    finish: (_key, _ending, done) => done?.(error),
    list: () => Promise.reject(error),
    get: () => Promise.reject(error),
    cancel: () => false,
    purge: () => Promise.reject(error),
    recover: () => Promise.reject(error),
    maintain: () => undefined,
    size: { entries: 0, bytes: 0, live: 0, remembered: 0 },
  };
}
