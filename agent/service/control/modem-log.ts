import { setTimeout as pause } from 'node:timers/promises';
import type * as z from 'zod';
import { isSupersimError } from '../../../shared/errors.js';
import { DIALECT_NAMES } from '../../config/dialect-names.js';
import { createPayloadMask } from '../../transport/modem/console/payload-mask.js';
import { DIALECTS } from '../../transport/modem/dialects/index.js';
import type { Ask } from './client.js';
import { modemLogSchema, modemSchema } from './schema.js';

const FOLLOW_INTERVAL_MS = 300;
const RETRY_INTERVAL_MS = 1000;

type LogRecord = z.output<typeof modemLogSchema>['records'][number];

export interface ModemLogOptions {
  /** Waits for new records, also across restarts of the agent, until the process ends. */
  readonly follow?: boolean;
  /** Leaves payloads readable; the agent itself has masked the digits of PINs. */
  readonly payloads?: boolean;
  /** Receives a sentence when the agent restarts or stops answering. */
  readonly notify?: (text: string) => void;
}

/**
 * Prints the modem traffic that the agent has recorded, one JSON line each.
 *
 * @throws (rejects) SupersimError
 */
export async function printModemLog(
  ask: Ask,
  print: (line: string) => void,
  { follow = false, payloads = false, notify = () => undefined }: ModemLogOptions = {},
): Promise<void> {
  let format: Format = withPayload;
  let run: string | undefined;
  for (let after = 0; ; ) {
    const request = follow && run !== undefined ? retryUntilAnswered(notify) : requestOnce;
    const answer = await request(() => ask('GET', `/modem/log?after=${after}`, modemLogSchema));
    if (answer.run !== run) {
      const isRestarted = run !== undefined;
      run = answer.run;
      if (!payloads) format = await request(() => maskedFormat(ask));
      if (isRestarted) {
        notify('the agent has restarted: its modem log starts again');
        after = 0;
        continue;
      }
    }
    for (const record of answer.records) {
      const shown = format(record, record.n > after + 1);
      after = record.n;
      if (shown !== undefined) print(`${JSON.stringify(shown)}\n`);
    }
    if (answer.records.length > 0) continue;
    if (!follow) return;
    await pause(FOLLOW_INTERVAL_MS);
  }
}

type Request = <T>(send: () => Promise<T>) => Promise<T>;

const requestOnce: Request = (send) => send();

/** Repeats a request while no agent answers. */
const retryUntilAnswered =
  (notify: (text: string) => void): Request =>
  async (send) => {
    for (let notified = false; ; notified = true) {
      try {
        return await send();
      } catch (error) {
        if (!isSupersimError(error, 'control-unreachable')) throw error;
        if (!notified) notify('the agent does not answer: waiting for it');
        await pause(RETRY_INTERVAL_MS);
      }
    }
  };

/** @param isGap true where records before this one are missing */
type Format = (record: LogRecord, isGap: boolean) => Omit<LogRecord, 'n'> | undefined;

const withPayload: Format = ({ t, dir, hex }) => ({ t, dir, hex });

/** Masks by the modem's dialect; by all dialects while it is not known. */
async function maskedFormat(ask: Ask): Promise<Format> {
  const { dialect } = await ask('GET', '/modem', modemSchema);
  const known = DIALECT_NAMES.filter((name) => name === dialect);
  const mask = createPayloadMask((known.length > 0 ? known : DIALECT_NAMES).map((name) => DIALECTS[name].grammar));
  return ({ t, dir, hex }, isGap) => {
    if (isGap) mask.restart();
    const piece = mask.hide({ at: t, direction: dir, bytes: Buffer.from(hex, 'hex') });
    return piece && { t, dir, hex: piece.bytes.toString('hex') };
  };
}
