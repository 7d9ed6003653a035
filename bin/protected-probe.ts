import type { Loopback } from '../loopback/index.js';
import type { Option } from '../shared/coap/message.js';
import { findOption, OPTION, stringOption } from '../shared/coap/options.js';
import { METHOD } from '../shared/coap/request.js';
import { SupersimError } from '../shared/errors.js';
import type { MessageParts } from '../shared/oscore/plaintext.js';
import type { NamedKey } from './demo-key.js';
import { createOperator } from './operator.js';
import { type Probe, type ProbeStep, runProbe } from './probe.js';

/** A command that the demonstration's agent runs for nobody without its key. */
const COMMAND = 'health';
const PATH = [stringOption(OPTION.uriPath, COMMAND)];
const MAX_CHARACTERS_SHOWN = 72;

/**
 * Sends a request that is protected with a key through API, network and agent, once more with Echo where the device asks
 * for it, and opens the response.
 *
 * @returns the steps in order
 * @throws SupersimError `probe-failed` with the steps so far
 */
export function probeProtected(loopback: Loopback, devicePort: number, key: NamedKey): Promise<ProbeStep[]> {
  const name = `the key ${key.name} (kid ${key.kid.toString(16).padStart(2, '0')})`;
  const operator = createOperator(key);

  async function request({ post, awaitReply }: Probe, what: string, more: readonly Option[]): Promise<MessageParts> {
    const { bytes, open } = operator.protect({
      code: METHOD.get,
      options: [...PATH, ...more],
      payload: Buffer.alloc(0),
    });
    await post(bytes, ` ${what}`);
    return awaitReply(open, `: a device that does not have ${name} does not answer`);
  }

  return runProbe(loopback, devicePort, async (probe) => {
    let response = await request(probe, `CoAP GET /${COMMAND} protected with ${name}`, []);
    const echo = response.code === '4.01' ? findOption(response.options, OPTION.echo) : undefined;
    if (echo !== undefined) {
      probe.noteReply('4.01 with Echo: the device does not know yet that this request is new');
      response = await request(probe, 'again with Echo', [{ number: OPTION.echo, value: echo }]);
    }
    const { code, payload } = response;
    if (code !== '2.05') fail(`the device answers ${code}: ${payload}`);
    probe.noteReply(`${code}, opened: ${beginning(payload.toString())}`);
  });
}

const beginning = (text: string): string =>
  text.length > MAX_CHARACTERS_SHOWN ? `${text.slice(0, MAX_CHARACTERS_SHOWN)}…` : text;

function fail(message: string): never {
  throw new SupersimError('probe-failed', message);
}
