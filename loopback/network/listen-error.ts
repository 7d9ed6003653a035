import { messageOf, SupersimError, systemCodeOf } from '../../shared/errors.js';

/** Translates the system's error of a failed bind or listen. */
export function listenError(error: unknown, where: string): SupersimError {
  switch (systemCodeOf(error)) {
    case 'EADDRINUSE':
      return new SupersimError('port-in-use', `another process listens on ${where}`, { cause: error });
    case 'EACCES':
      return new SupersimError('port-forbidden', `this user may not listen on ${where}`, { cause: error });
    default:
      return new SupersimError('bad-input', `cannot listen on ${where}: ${messageOf(error)}`, {
        cause: error,
        remedy: 'Choose an address of this machine (`ip address` lists them) and a free port.',
      });
  }
}
