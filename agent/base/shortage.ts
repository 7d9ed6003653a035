import { systemCodeOf } from '../../shared/errors.js';

/** Of file descriptors, of processes, and of memory. */
const CODES: readonly (string | undefined)[] = ['EMFILE', 'ENFILE', 'EAGAIN', 'ENOMEM', 'ENOBUFS'];

/** Tells whether a system error says that there is none left now of what every program needs: it may pass. */
export const isShortage = (error: unknown): boolean => CODES.includes(systemCodeOf(error));
