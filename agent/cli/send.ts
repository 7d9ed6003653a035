import { createReadStream } from 'node:fs';
import type { CommandModule } from 'yargs';
import * as z from 'zod';
import { readInput } from '../../shared/async/read-body.js';
import { checkInput } from '../../shared/check-input.js';
import { messageOf, SupersimError } from '../../shared/errors.js';
import { MAX_PAYLOAD_BYTES } from '../../shared/limits.js';
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

const STATE_TEXT: Readonly<Record<EventState, string>> = {
  sent: 'sent',
  'on-disk': 'waiting for a link: the event is in the outbox on disk',
  'in-memory': 'waiting for a link: the event is in the outbox in memory, and is lost if the agent ends',
};

/** `supersim-agent send`. */
export const sendCommand: CommandModule = {
  command: 'send [payload]',
  describe: 'Send an event through the running agent: the owner receives it as a from_sim command',
  builder: (yargs) =>
    yargs
      .positional('payload', { type: 'string', describe: 'Payload to send; - or omitted: read standard input' })
      // Otherwise yargs reads the value `-` as empty.
      .nargs('payload', 1)
      // The payload may follow `--`, and its digits are not a number.
      .parserConfiguration({ 'populate--': true, 'parse-positional-numbers': false })
      .options({
        ...socketOption,
        file: { type: 'string', describe: 'Send the contents of this file' },
        json: {
          type: 'string',
          describe: 'Send { event, data } as JSON: the value is the event’s name, the payload its data in JSON',
        },
      })
      .example('$0 send --json door.opened \'{"door":3}\'', 'Sends {"event":"door.opened","data":{"door":3}}')
      .example('$0 send --file reading.bin', 'Sends the file’s bytes unchanged')
      .epilogue(
        'Prints whether the event was sent or waits for a link. ' +
          'Exit code: 0 if the agent accepted the event, 2 if the event is invalid, else 1.',
      ),
  handler: (argv) =>
    withSocket(argv, async (socket) => {
      const body = await readEvent(checkInput(flags, argv, 'the arguments'));
      const options = { answerMs: EVENT_ANSWER_MS, body };
      const { state } = await controlClient(socket)('POST', '/events', sentEventSchema, options);
      process.stdout.write(`${STATE_TEXT[state]}\n`);
    }),
};

/** @throws SupersimError `bad-input`, `too-large` */
async function readEvent({ json: event, ...from }: z.output<typeof flags>): Promise<AskOptions['body']> {
  const read = await readPayload(from, event === undefined ? MAX_PAYLOAD_BYTES : MAX_EVENT_BODY);
  if (event === undefined) {
    if (read === undefined || read.length === 0)
      throw badInput('nothing to send: give a payload, a --file or standard input');
    return { type: 'application/octet-stream', bytes: read };
  }
  const text = read?.toString().trim() ?? '';
  const document = { event, data: text === '' ? undefined : parse(text) };
  return { type: 'application/json', bytes: Buffer.from(JSON.stringify(document)) };
}

/** @returns undefined without a payload: a terminal is not read */
async function readPayload(
  { payload: named, '--': rest, file }: Omit<z.output<typeof flags>, 'json'>,
  maxBytes: number,
): Promise<Buffer | undefined> {
  const [payload, ...more] = named === undefined ? rest : [named, ...rest];
  if (more.length > 0) throw badInput('more than one payload: put quotes around it');
  if (payload !== undefined && file !== undefined) throw badInput('give a payload or a --file, not both');
  if (payload !== undefined && payload !== '-') return Buffer.from(payload);
  if (file !== undefined) return readInput(createReadStream(file), file, maxBytes, SEND_LESS);
  if (payload === undefined && process.stdin.isTTY) return undefined;
  return readInput(process.stdin, 'standard input', maxBytes, SEND_LESS);
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch (error) {
    throw badInput(`the data is not JSON: ${messageOf(error)}`);
  }
}

const badInput = (message: string) => new SupersimError('bad-input', message);
