import type { SecurityContext } from '../../../shared/oscore/context.js';

/** The names of a SIM. A callback, or a resource of the API, has some of them. */
export interface SimNames {
  /** `HS…` */
  readonly sid?: string | undefined;
  readonly uniqueName?: string | undefined;
  readonly iccid?: string | undefined;
}

/** A key that this installation of the sender shares with a device. */
export interface OperatorKey {
  /** Tells keys apart without showing them. */
  readonly id: string;
  readonly deviceId: string;
  /** This installation's Sender ID on the device: 1 to 255. */
  readonly kid: number;
  readonly context: SecurityContext;
  /** Sends the ID Context with each request, as libcoap's server requires. */
  readonly sendsKidContext: boolean;
}
