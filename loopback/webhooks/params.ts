import type { StoredCommand } from '../account/store.js';
import type { Assumptions } from '../vendor-assumptions.js';

const API_VERSION = 'v1';

/** The error that a webhook reports for a failed command. */
export interface CallbackError {
  readonly code: number;
  readonly message: string;
}

/**
 * Returns the parameters of a webhook. Only `Payload` and `SimUniqueName` were observed with IP Commands; the others are
 * inferred from the vendor's older SMS Commands (docs/vendor-facts.md, "Webhooks: parameters").
 */
export function callbackParams(
  command: StoredCommand,
  simName: string,
  { callbackSidName, callbackPayload }: Pick<Assumptions, 'callbackSidName' | 'callbackPayload'>,
  error?: CallbackError,
): Record<string, string> {
  const withPayload = command.direction === 'from_sim' || callbackPayload === 'include';
  return {
    AccountSid: command.account_sid,
    ApiVersion: API_VERSION,
    [callbackSidName]: command.sid,
    SimSid: command.sim_sid,
    SimUniqueName: simName,
    ...(command.sim_iccid !== null && { SimIccid: command.sim_iccid }),
    Status: command.status,
    Direction: command.direction,
    ...(command.device_ip !== null && { DeviceIp: command.device_ip }),
    DevicePort: `${command.device_port}`,
    PayloadType: command.payload_type,
    ...(withPayload && { Payload: command.payload }),
    ...(error && { ErrorCode: `${error.code}`, ErrorMessage: error.message }),
  };
}
