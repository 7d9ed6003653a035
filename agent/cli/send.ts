import { createReadStream } from 'node:fs';
import type { CommandModule } from 'yargs';
import * as z from 'zod';
import { checkInput } from '../../shared/check-input.js';
import { messageOf, SupersimError } from '../../shared/errors.js';
import { MAX_PAYLOAD_BYTES } from '../../shared/limits.js';
import { readInput } from '../../shared/read-body.js';
import { type AskOptions, controlClient } from '../service/control/client.js';
import { EVENT_ANSWER_MS, MAX_EVENT_BODY, SEND_LESS, sentEventSchema } from '../service/control/schema.js';
import type { EventState } from '../service/control/target.js';
import { socketOption, withSocket } from './control-output.js';

const flags = z.object({
  payload: z.string().optional(),
  '--': z.array(z.string()).default([]),
  file: z.string().min(1).optional(),
  json: z.string().min(1).optional(),
});

const SHOWN: Readonly<Record<EventState, string>> = {
  sent: 'sent',
  'on-disk': 'waiting: it cannot leave now, and is in the outbox on the disk',
  'in-memory': 'waiting: it cannot leave now, and is in the outbox, in memory only: it is lost if the agent ends',
};

/** `supersim-agent send`. */
export const sendCommand: CommandModule = {
  command: 'send [payload]',
  describe: 'Send an event by the agent that runs: its owner gets it as a from_sim command',
  builder: (yargs) =>
    yargs
      .positional('payload', { type: 'string', describe: 'What is sent; - or none: what standard input has' })
      // Without it, yargs takes the value `-` for an empty one.
      .nargs('payload', 1)
      // What stands behind `--` is a payload too, and its digits are no number.
      .parserConfiguration({ 'populate--': true, 'parse-positional-numbers': false })
      .options({
        ...socketOption,
        file: { type: 'string', describe: 'Send what this file has' },
        json: {
          type: 'string',
          describe: 'Send { event, data } in JSON: this is the event’s name, the payload its data, in JSON, if any',
        },
      })
      .example('$0 send --json door.opened \'{"door":3}\'', 'Becomes {"event":"door.opened","data":{"door":3}}')
      .example('$0 send --file reading.bin', 'Bytes, as they are')
      .epilogue(
        'Prints whether it has left or waits for a link. ' +
          'Ends with exit code 0 when the agent has it, 2 when it cannot be sent as it is, else 1.',
      ),
  handler: (argv) =>
    withSocket(argv, async (socket) => {
      const body = await readEvent(checkInput(flags, argv, 'the arguments'));
      const options = { answerMs: EVENT_ANSWER_MS, body };
      const { state } = await controlClient(socket)('POST', '/events', sentEventSchema, options);
      process.stdout.write(`${SHOWN[state]}\n`);
    }),
};

/** @throws SupersimError `bad-input`, `too-large` */
async function readEvent({ json: event, ...from }: z.output<typeof flags>): Promise<AskOptions['body']> {
  const read = await readPayload(from, event === undefined ? MAX_PAYLOAD_BYTES : MAX_EVENT_BODY);
  if (event === undefined) {
    if (read === undefined || read.length === 0) throw badInput('there is nothing to send');
    return { type: 'application/octet-stream', bytes: read };
  }
  const text = read?.toString().trim() ?? '';
  const document = { event, data: text === '' ? undefined : parse(text) };
  return { type: 'application/json', bytes: Buffer.from(JSON.stringify(document)) };
}

/** @returns undefined where none was given: a terminal is not read */
async function readPayload(
  { payload: named, '--': rest, file }: Omit<z.output<typeof flags>, 'json'>,
  most: number,
): Promise<Buffer | undefined> {
  const [payload, ...more] = named === undefined ? rest : [named, ...rest];
  if (more.length > 0) throw badInput('there is more than one payload: put quotes around it');
  if (payload !== undefined && file !== undefined) throw badInput('give a payload or a --file, not both');
  if (payload !== undefined && payload !== '-') return Buffer.from(payload);
  if (file !== undefined) return readInput(createReadStream(file), file, most, SEND_LESS);
  if (payload === undefined && process.stdin.isTTY) return undefined;
  return readInput(process.stdin, 'standard input', most, SEND_LESS);
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch (error) {
    throw badInput(`the data is no JSON: ${messageOf(error)}`);
  }
}

const badInput = (message: string) => new SupersimError('bad-input', message);
