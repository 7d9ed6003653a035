import type { Loopback } from '../loopback/index.js';
import { createRequester, openSecurity, pollingReplies } from '../sender/index.js';
import { toJson } from '../shared/format/value.js';
import { type ProbeStep, runProbe } from './probe.js';

/** A command that the demonstration's agent runs for nobody without its key. */
const COMMAND = 'health';
const POLL_INTERVAL_MS = 20;
const MAX_CHARACTERS_SHOWN = 72;

/**
 * Sends a request that is protected with the SIM's key through API, network and agent, as `supersim request` does.
 *
 * @param env the variables that name the file with the key
 * @returns the steps in order
 * @throws SupersimError `probe-failed` with the steps so far
 */
export function probeProtected(loopback: Loopback, devicePort: number, env: NodeJS.ProcessEnv): Promise<ProbeStep[]> {
  return runProbe(loopback, async ({ client, sim, noteReply }) => {
    const security = openSecurity({ env });
    try {
      const replies = pollingReplies(client, { interval: POLL_INTERVAL_MS });
      const result = await createRequester({ client, security, replies })(sim.uniqueName, COMMAND, undefined, {
        ...{ get: true, devicePort, timeout: '5s' },
        onProgress({ type }) {
          if (type === 'challenged')
            noteReply('opened: 4.01 with Echo, as the device does not know yet that this is new');
        },
      });
      if (result.outcome !== 'done') throw new Error(`${COMMAND}, protected with the key: ${result.error.message}`);
      noteReply(`opened: ${COMMAND} is done, authentic: ${beginning(toJson(result.result))}`);
    } finally {
      security.close();
    }
  });
}

const beginning = (text: string): string =>
  text.length > MAX_CHARACTERS_SHOWN ? `${text.slice(0, MAX_CHARACTERS_SHOWN)}…` : text;
