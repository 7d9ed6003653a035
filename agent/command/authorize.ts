import type { CommandError } from '../../shared/command.js';
import type { Config } from '../config/schema.js';
import type { Handler } from '../handlers/handler.js';

/** The policy `security.unprotected`. */
export type Unprotected = Config['security']['unprotected'];

/** Returns why a request that is not authenticated may not run a handler; undefined when it may. */
export type Authorize = (handler: Handler) => CommandError | undefined;

/** @param unprotected the policy as it is now: a reload may change it */
export const createAuthorize =
  (unprotected: () => Unprotected): Authorize =>
  ({ needsAuthentication }) =>
    needsAuthentication === true && unprotected() === 'refuse' ? AUTHENTICATION_REQUIRED : undefined;

const AUTHENTICATION_REQUIRED: CommandError = {
  code: 'authentication-required',
  message: 'requests are not authenticated, and this command ends or changes the device: see security.unprotected',
};

/** Describes who may command the device, in one line for `status`, the doctor and the log. */
export const describeSecurity = (unprotected: Unprotected): string =>
  `commands are not authenticated: whoever sends from an address in \`allow\` can run them; device.reboot, agent.restart and handlers with a socket are ${
    unprotected === 'allow' ? 'on (security.unprotected: allow)' : 'off'
  }`;
