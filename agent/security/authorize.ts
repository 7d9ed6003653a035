import type { CommandError } from '../../shared/command.js';
import type { Config } from '../config/schema.js';
import type { Handler } from '../handlers/handler.js';
import { type DeviceKey, mayCall } from './key-file.js';

/** Who sent a request. */
export type Caller =
  /** The holder of a key with which the request was protected. */
  | {
      readonly kind: 'key';
      readonly key: DeviceKey;
      /** The request's sequence number. */
      readonly number: number;
    }
  /** Anyone who can send to the device port: the request is not protected. */
  | { readonly kind: 'anyone'; readonly port: number };

/** Returns why a caller may not run a handler; undefined when it may. Without a handler: why it gets no other answer. */
export type Authorize = (handler: Handler | undefined, caller: Caller) => CommandError | undefined;

/** Decides which callers are answered, and which handlers they may run. */
export interface Access {
  readonly authorize: Authorize;
  /** Whether unprotected requests are refused, but on open ports and for excepted commands. */
  readonly isRequired: boolean;
  /** Tells whether an unprotected request for these commands is answered at all. */
  isOpen(port: number, commands: readonly string[]): boolean;
}

/** What access depends on; a reload may change it. */
export interface AccessRules {
  readonly security: Config['security'];
  readonly ports: Config['listen']['ports'];
  /** The keys in force. */
  readonly keys: readonly DeviceKey[];
  /** Whether there are keys, also such as cannot be used. */
  readonly hasKeys: boolean;
}

/** Tells whether unprotected requests are refused, by default: once there is a key. */
export const isProtectionRequired = ({ security, hasKeys }: Pick<AccessRules, 'security' | 'hasKeys'>): boolean =>
  security.required ?? hasKeys;

/** @param rules returns the rules in force */
export function createAccess(rules: () => AccessRules): Access {
  function isOpen(port: number, commands: readonly string[]): boolean {
    const current = rules();
    if (!isProtectionRequired(current)) return true;
    if (current.ports.some((each) => each.port === port && each.unprotected === 'allow')) return true;
    return commands.length > 0 && commands.every((name) => current.security.except.includes(name));
  }

  function authorizeKey(handler: Handler | undefined, key: DeviceKey): CommandError | undefined {
    // A reload may have changed what it may call.
    const current = rules().keys.find(({ fingerprint }) => fingerprint === key.fingerprint);
    if (current === undefined) return REVOKED;
    return handler === undefined || mayCall(current, handler.name) ? undefined : FORBIDDEN;
  }

  return {
    authorize(handler, caller) {
      if (caller.kind === 'key') return authorizeKey(handler, caller.key);
      const current = rules();
      if (isProtectionRequired(current) && !isOpen(caller.port, handler === undefined ? [] : [handler.name])) {
        return PROTECTION_REQUIRED;
      }
      return handler?.needsAuthentication === true && current.security.unprotected === 'refuse'
        ? AUTHENTICATION_REQUIRED
        : undefined;
    },
    get isRequired() {
      return isProtectionRequired(rules());
    },
    isOpen,
  };
}

const AUTHENTICATION_REQUIRED: CommandError = {
  code: 'authentication-required',
  message: 'requests are not authenticated, and this command ends or changes the device: see security.unprotected',
};

const PROTECTION_REQUIRED: CommandError = {
  code: 'authentication-required',
  message: 'this device takes only requests that are protected with a key',
};

const REVOKED: CommandError = { code: 'forbidden', message: 'the key is not in use any more' };

const FORBIDDEN: CommandError = { code: 'forbidden', message: 'the key may not call this command' };

/** What the description of a device's security depends on. */
export interface SecuritySummary {
  readonly unprotected: Config['security']['unprotected'];
  readonly required: boolean;
  /** The number of keys that can be used. */
  readonly keys: number;
}

/** Describes who may command the device, in one line for `status`, the doctor and the log. */
export function describeSecurity({ unprotected, required, keys }: SecuritySummary): string {
  if (required)
    return `only requests that are protected with ${keys === 1 ? 'the key' : `one of ${keys} keys`} run commands`;
  const on = keys === 0 ? 'off' : 'off without a key';
  const privileged = unprotected === 'allow' ? 'on (security.unprotected: allow)' : on;
  return `commands are not authenticated: whoever sends from an address in \`allow\` can run them; device.reboot, agent.restart and handlers with a socket are ${privileged}`;
}
