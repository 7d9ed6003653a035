import * as z from 'zod';
import { checkInput } from '../shared/check-input.js';
import { SupersimError } from '../shared/errors.js';

/** Schema of a refusal by the API: HTTP status and the vendor's code, as `400/20001`. */
const refusal = (defaultValue: string) =>
  z
    .string()
    .regex(/^[45]\d\d\/\d{5}$/, 'must be STATUS/CODE, such as 400/20001')
    .default(defaultValue);

/** Source port of to_sim datagrams: the gateway's own, or another. */
export const SOURCE_PORTS = ['other', 'gateway'] as const;
export type SourcePort = (typeof SOURCE_PORTS)[number];

/**
 * Assumptions where the vendor's documents are silent or contradict each other, until somebody measures it. Each
 * description begins with its grade: [U] unknown, [I] inferred (docs/vendor-facts.md, "Grades").
 */
export const assumptionsSchema = z.strictObject({
  sourcePort: z
    .enum(SOURCE_PORTS)
    .default('other')
    .describe('[U] Source port of a to_sim datagram: the gateway’s own, or another one of the same address.'),
  replyToSource: z
    .enum(['drop', 'receive'])
    .default('drop')
    .describe('[U] Whether a datagram to the `other` source port, not to the gateway’s, becomes a from_sim command.'),
  sizeRule: z
    .enum(['decoded', 'base64'])
    .default('decoded')
    .describe('[U] Whether the limit of 1300 counts the decoded bytes of a binary payload or its Base64 characters.'),
  binaryDelivery: z
    .enum(['decoded', 'as-is'])
    .default('decoded')
    .describe('[U] Whether a binary payload is Base64-decoded before delivery; the vendor says it goes in “as is”.'),
  emptyPayload: z
    .enum(['accept', 'refuse'])
    .default('refuse')
    .describe('[U] Whether a to_sim command may have a payload of no bytes.'),
  oversize: refusal('400/20001').describe('[U] Status and code for a payload over the limit.'),
  badBase64: refusal('400/20001').describe('[U] Status and code for a binary payload that is not Base64.'),
  badPort: refusal('400/20001').describe('[U] Status and code for a DevicePort that is no UDP port (1 to 65535).'),
  unknownSim: refusal('404/20404').describe('[U] Status and code for a command to a SIM that the account lacks.'),
  inactiveSim: z
    .enum(['83705', '83401'])
    .default('83705')
    .describe('[U] Code of a command that failed as its SIM is inactive: that, or as of one not attached.'),
  pageSizeOverMax: z
    .enum(['refuse', 'clamp'])
    .default('refuse')
    .describe('[U] What happens to a PageSize above the maximum: 100 at KORE, 1000 at Twilio.'),
  callbackSidName: z
    .enum(['Sid', 'IpCommandSid', 'CommandSid'])
    .default('Sid')
    .describe('[U] Name of the command’s own SID in a webhook.'),
  callbackOnQueued: z
    .enum(['no', 'yes'])
    .default('no')
    .describe('[U] Whether CallbackUrl is also called when a command is queued.'),
  callbackPayload: z
    .enum(['omit', 'include'])
    .default('omit')
    .describe('[U] Whether a status callback repeats the payload.'),
});

export type Assumptions = z.infer<typeof assumptionsSchema>;
export type AssumptionsInput = z.input<typeof assumptionsSchema>;

/**
 * Fills in the defaults.
 *
 * @throws SupersimError `bad-input` for an unknown name or value
 */
export function resolveAssumptions(input: unknown): Assumptions {
  const known = Object.keys(assumptionsSchema.shape).join(', ');
  return checkInput(assumptionsSchema, input, 'assumptions', `Correct it; the assumptions are ${known}.`);
}

/**
 * Parses assumptions of the form `KEY=VALUE`.
 *
 * @throws SupersimError `bad-input` for another form, and as {@link resolveAssumptions}
 */
export function parseAssumptions(written: readonly string[]): Assumptions {
  return resolveAssumptions(Object.fromEntries(written.map(parsePair)));
}

/** @throws SupersimError `bad-input` for anything but `KEY=VALUE` */
export function parsePair(text: string): [string, string] {
  const [, key, value] = /^(\w+)=(.*)$/.exec(text) ?? [];
  if (key !== undefined && value !== undefined) return [key, value];
  throw new SupersimError('bad-input', `${JSON.stringify(text)} is not KEY=VALUE`);
}

/** Returns a line for each assumption, with its values, its default and its grade. */
export function assumptionsHelp(): string {
  return Object.entries(assumptionsSchema.shape)
    .map(([key, schema]) => {
      const inner = schema.unwrap();
      const values = inner instanceof z.ZodEnum ? inner.options.join('|') : 'STATUS/CODE';
      return `  ${key}=${values} (${schema.parse(undefined)})\n    ${schema.description}`;
    })
    .join('\n');
}
