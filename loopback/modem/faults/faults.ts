import * as z from 'zod';
import { checkInput } from '../../../shared/check-input.js';
import { durationSchema } from '../../../shared/duration.js';
import { SupersimError } from '../../../shared/errors.js';
import { formatValue, hitsSchema, parseValue, strictShape } from '../../network/faults/settings.js';

const CHUNKS = ['unit', 'byte', 'all'] as const;
const LINE_ENDS = ['usual', 'lf', 'doubled-cr'] as const;
const PROMPTS = ['usual', 'bare', 'space', 'newline'] as const;
const MAX_RESET_BYTES = 2 ** 31;
const awaySchema = durationSchema('0ms', '24h');

const cme = z.int().min(0).max(999);
const refusal = z.union([cme.transform((code) => ({ cme: code })), strictShape({ cme, on: hitsSchema.optional() })]);

const shape = {
  urcLoss: hitsSchema.default(0).describe('The URC is not printed.'),
  urcDuplicate: hitsSchema.default(0).describe('The URC is printed twice.'),
  urcBetween: hitsSchema
    .default(0)
    .describe('The URC waits for the next command, and comes between two lines of its answer, or before the first.'),
  urcExtra: hitsSchema.default(0).describe('An unrelated URC comes before the line, prompt or result.'),
  lineLoss: hitsSchema.default(0).describe('The line (not a result, not a URC) is not printed.'),
  byteLoss: hitsSchema.default(0).describe('One byte of the line, data or result is lost.'),
  byteDamage: hitsSchema
    .default(0)
    .describe('One byte of the line or result is replaced by one of 0x80 to 0xff; never one of a payload.'),
  garbage: hitsSchema.default(0).describe('A burst of up to 32 bytes comes before the line, data or result.'),
  sendFail: hitsSchema.default(0).describe('The datagram is refused after its bytes were received.'),
  sendBusy: hitsSchema.default(0).describe('The send command is refused before the prompt.'),
  chunks: z
    .enum(CHUNKS)
    .default('unit')
    .describe('How output is written: each line by itself, each byte by itself, or all until a silence of 20 ms.'),
  prompt: z
    .enum(PROMPTS)
    .default('usual')
    .describe('Characters after the prompt: the usual ones, none, a space, or a line end.'),
  lineEnds: z
    .enum(LINE_ENDS)
    .default('usual')
    .describe('How lines, results and URCs begin and end: CR LF, LF alone, or CR CR LF.'),
  silent: z.enum(['no', 'yes']).default('no').describe('The modem ignores its input and prints nothing.'),
  resetAfterSent: z
    .int()
    .min(0)
    .max(MAX_RESET_BYTES)
    .default(0)
    .describe('The modem restarts after sending this many bytes: the tty vanishes and comes back. 0: never.'),
  resetAfterHeard: z
    .int()
    .min(0)
    .max(MAX_RESET_BYTES)
    .default(0)
    .describe('The modem restarts after receiving this many bytes. 0: never.'),
  away: awaySchema.default('500ms').describe('Time that the tty is away in a restart.'),
};

const schema = strictShape({
  ...shape,
  errors: z
    .record(z.string().regex(/^AT\S*$/i, 'must begin with AT'), refusal)
    .default({})
    .describe('Commands with this beginning end with this CME number.'),
});

/** Faults of a modem. Hits are probabilities, or lists of numbers, from 1, of the things of their kind. */
export type ModemFaultsInput = z.input<typeof schema>;
export type ModemFaults = z.output<typeof schema>;

/**
 * Fills in the defaults: no faults.
 *
 * @throws SupersimError `bad-input` for an unknown name or a value that cannot be used
 */
export function resolveModemFaults(input: unknown): ModemFaults {
  return checkInput(schema, input, 'modem faults', remedy());
}

/**
 * Parses faults of the form `urcLoss=0.2,sendFail=#2+5,error.AT+QIACT=30#1`: `#` begins a list of numbers; after an
 * error's number, of the commands that end with it.
 *
 * @throws SupersimError `bad-input` for another form, and as {@link resolveModemFaults}
 */
export function parseModemFaults(written: string): ModemFaults {
  const settings = new Map<string, unknown>();
  const errors = new Map<string, unknown>();
  for (const part of written.split(',')) {
    const [, name, value] = /^\s*([^=\s]+)=(\S+)\s*$/.exec(part) ?? [];
    if (name === undefined || value === undefined) {
      throw modemFaultsError(`${JSON.stringify(part)} is not NAME=VALUE`);
    }
    const [, command] = /^error\.(.+)$/.exec(name) ?? [];
    const [into, key] = command === undefined ? [settings, name] : [errors, command];
    if (into.has(key)) throw modemFaultsError(`${name} is given twice`);
    into.set(key, command === undefined ? parseValue(value) : parseRefusal(value));
  }
  return resolveModemFaults({ ...Object.fromEntries(settings), errors: Object.fromEntries(errors) });
}

function parseRefusal(value: string): unknown {
  const [, code, numbers] = /^(\d+)(#.*)?$/.exec(value) ?? [];
  if (code === undefined) return value;
  return numbers === undefined ? Number(code) : { cme: Number(code), on: parseValue(numbers) };
}

/** Formats faults as {@link parseModemFaults} reads them, without the defaults; `none` when there are no others. */
export function formatModemFaults(faults: ModemFaults): string {
  const { errors, ...settings } = faults;
  const usual: Readonly<Record<string, unknown>> = resolveModemFaults({});
  const written = Object.entries(settings)
    .filter(([name, value]) => value !== usual[name])
    .map(([name, value]) => `${name}=${formatValue(value)}`);
  const refusals = Object.entries(errors).map(([command, refused]) => {
    const on = 'on' in refused && refused.on !== undefined ? formatValue(refused.on) : '';
    return `error.${command}=${refused.cme}${on}`;
  });
  return [...written, ...refusals].join(',') || 'none';
}

/** Returns a line for each fault, with its values and its default. */
export function modemFaultsHelp(): string {
  const lines = Object.entries<z.ZodType>(shape).map(([name, setting]) => {
    const inner = setting instanceof z.ZodDefault ? setting.unwrap() : setting;
    return `  ${name}=${valuesOf(inner)} (${setting.parse(undefined)})\n    ${setting.description}`;
  });
  return [
    ...lines,
    '  error.COMMAND=CME[#N+N]',
    '    Commands with this beginning (AT+QIACT) end with this CME number.',
  ].join('\n');
}

function valuesOf(setting: unknown): string {
  if (setting instanceof z.ZodEnum) return setting.options.join('|');
  if (setting === awaySchema) return 'DURATION';
  return setting === hitsSchema ? 'PROBABILITY|#N+N' : 'BYTES';
}

function modemFaultsError(message: string): SupersimError {
  return new SupersimError('bad-input', `modem faults: ${message}`, { remedy: remedy() });
}

const remedy = () => `Correct it; the faults are ${Object.keys(schema.shape).join(', ')}.`;
