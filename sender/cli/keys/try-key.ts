import { setMaxListeners } from 'node:events';
import * as z from 'zod';
import { checkInput } from '../../../shared/check-input.js';
import { durationSchema, milliseconds } from '../../../shared/duration.js';
import { DEVICE_PORT } from '../../../shared/limits.js';
import { accountReplies } from '../../replies/account-polling.js';
import { createRequester, DEFAULT_REQUEST_TIMEOUT } from '../../request/request.js';
import type { OperatorKey } from '../../security/keys/operator-key.js';
import { addressedTo, openSecurity } from '../../security/security.js';
import type { CliIo } from '../io.js';
import { commonSchema, openClient } from '../options.js';

/**
 * Asks a SIM's device something, protected with a key, and tells whether it has answered with that key.
 *
 * @param sim SID of the SIM
 */
export type TryKey = (sim: string, key: OperatorKey) => Promise<boolean>;

const argsSchema = commonSchema.pick({ profile: true }).extend({
  port: z.int().min(1).max(65_535).default(DEVICE_PORT),
  timeout: durationSchema('1s', '24h').default(DEFAULT_REQUEST_TIMEOUT),
});

/** The flags of {@link withTryKey}. */
export const tryKeyOptions = {
  port: { type: 'number', default: DEVICE_PORT, requiresArg: true, describe: 'UDP port on the devices' },
  timeout: {
    type: 'string',
    default: DEFAULT_REQUEST_TIMEOUT,
    requiresArg: true,
    describe: 'Longest wait for each device',
  },
} as const;

/** Tries keys by a `ping`: what the device may say of it, it says with the key. */
export async function withTryKey<T>(
  argv: unknown,
  io: CliIo,
  signal: AbortSignal,
  use: (tryKey: TryKey) => Promise<T>,
): Promise<T> {
  const { profile, port: devicePort, timeout } = checkInput(argsSchema, argv, 'the arguments');
  // A few listeners for each device that is asked, whose number is bounded.
  setMaxListeners(0, signal);
  const security = openSecurity({ profile, env: io.env });
  let api: ReturnType<typeof open> | undefined;

  async function open() {
    const client = await openClient({ profile }, io);
    return { client, replies: accountReplies(client, { sleep: io.sleep }) };
  }

  try {
    return await use(async (sim, key) => {
      api ??= open();
      const request = createRequester({
        ...(await api),
        security: addressedTo(security, { sim, target: sim, key }),
      });
      const options = { get: true, devicePort, timeout: `${milliseconds(timeout)}ms`, signal } as const;
      const { authentic } = await request(sim, 'ping', undefined, options);
      return authentic;
    });
  } finally {
    await api?.then(({ replies }) => replies.end()).catch(() => undefined);
    security.close();
  }
}
