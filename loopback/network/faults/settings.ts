import { closest } from 'fastest-levenshtein';
import * as z from 'zod';
import { checkInput } from '../../../shared/check-input.js';
import { durationSchema } from '../../../shared/duration.js';
import { SupersimError } from '../../../shared/errors.js';
import { MAX_SEED } from './random.js';

/** Directions: `down` is to the device, `up` from it. */
export const WAYS = ['down', 'up'] as const;
export type Way = (typeof WAYS)[number];

/** Maximum of packet numbers in one list. */
export const MAX_EXACT_PACKETS = 1000;
/** Maximum delay of a packet by one setting. */
export const MAX_DELAY = '10min';

export const hitsSchema = z.union([z.number().min(0).max(1), z.array(z.int().min(1)).max(MAX_EXACT_PACKETS)], {
  error: `must be a probability from 0 to 1, or a list of packet numbers such as [2, 5], at most ${MAX_EXACT_PACKETS}`,
});
const delay = durationSchema('0ms', MAX_DELAY);

const rulesShape = {
  loss: hitsSchema.describe('The packet does not arrive.'),
  duplicate: hitsSchema.describe('The packet arrives twice. The copy has a delay of its own, and no damage.'),
  reorder: hitsSchema.describe('The packet is held back for `reorderDelay`, so that later ones overtake it.'),
  corrupt: hitsSchema.describe('One to eight bits of one byte are flipped.'),
  truncate: hitsSchema.describe('The packet loses its end: one byte to all.'),
  delay: delay.describe('Delay of every packet.'),
  jitter: delay.describe('Random additional delay of up to this much per packet; packets may overtake each other.'),
  reorderDelay: delay.describe('How long `reorder` holds a packet back.'),
  duplicateDelay: delay.describe('Additional delay of the copy.'),
};

const NO_RULES = {
  loss: 0,
  duplicate: 0,
  reorder: 0,
  corrupt: 0,
  truncate: 0,
  delay: '0ms',
  jitter: '0ms',
  reorderDelay: '100ms',
  duplicateDelay: '0ms',
} as const;

const completeSchema = z.object(rulesShape);
const RULES = completeSchema.keyof().options;
const bothWaysSchema = strictShape(rulesShape).partial();

/** Faults of both directions; those under `down` and `up` override them in one. */
export const faultsSchema = strictShape({
  ...bothWaysSchema.shape,
  down: bothWaysSchema.optional(),
  up: bothWaysSchema.optional(),
});

export const seedSchema = z.int().min(0).max(MAX_SEED);

/** The packets that a fault hits: a probability, or a list of packet numbers, from 1. */
export type Hits = z.infer<typeof hitsSchema>;
export type Rules = z.infer<typeof completeSchema>;
export type FaultsInput = z.input<typeof faultsSchema>;
/** The faults of each direction, with all defaults filled in; a {@link FaultsInput} too. */
export type Faults = Readonly<Record<Way, Rules>>;

/** A schema of exactly these names, whose error for another name suggests the nearest one. */
export function strictShape<S extends z.ZodRawShape>(shape: S) {
  return z.strictObject(shape, {
    error: (issue) => {
      if (issue.code !== 'unrecognized_keys') return undefined;
      const [unknown = ''] = issue.keys;
      return `there is no ${JSON.stringify(unknown)}; did you mean ${closest(unknown, Object.keys(shape))}?`;
    },
  });
}

/**
 * Fills in the defaults: no faults.
 *
 * @throws SupersimError `bad-input` for an unknown name or a value that cannot be used
 */
export function resolveFaults(input: unknown): Faults {
  const { down, up, ...bothWays } = checkInput(faultsSchema, input, 'faults', REMEDY);
  const complete = (oneWay: typeof down) =>
    completeSchema.parse(
      Object.fromEntries(RULES.map((rule) => [rule, oneWay?.[rule] ?? bothWays[rule] ?? NO_RULES[rule]])),
    );
  return { down: complete(down), up: complete(up) };
}

/**
 * Parses faults of the form `loss=0.2,delay=50ms,up.loss=#2+5`: for both directions, or after `down.` or `up.` for one;
 * `#` begins a list of packet numbers.
 *
 * @throws SupersimError `bad-input` for another form, and as {@link resolveFaults}
 */
export function parseFaults(written: string): Faults {
  const groups: Record<Way | 'both', [string, unknown][]> = { both: [], down: [], up: [] };
  const seen = new Set<string>();
  for (const part of written.split(',')) {
    const [, name, way, rule, value] = /^\s*((?:(down|up)\.)?(\w+))=(\S+)\s*$/.exec(part) ?? [];
    if (name === undefined || rule === undefined || value === undefined) {
      throw faultsError(`${JSON.stringify(part)} is not NAME=VALUE`);
    }
    if (seen.has(name)) throw faultsError(`${name} is given twice`);
    seen.add(name);
    groups[way === 'down' || way === 'up' ? way : 'both'].push([rule, parseValue(value)]);
  }
  const { both, down, up } = groups;
  return resolveFaults({
    down: Object.fromEntries(down),
    up: Object.fromEntries(up),
    // Last, so that `down=1` overrides the objects and is refused like any other wrong value.
    ...Object.fromEntries(both),
  });
}

/** Parses a number, a list of numbers such as `#2+5`, or a word. */
export function parseValue(text: string): unknown {
  if (text === '#') return [];
  if (text.startsWith('#')) return text.slice(1).split('+').map(Number);
  const number = Number(text);
  return Number.isNaN(number) ? text : number;
}

/** Formats a value as {@link parseValue} reads it. */
export const formatValue = (value: unknown): string => (Array.isArray(value) ? `#${value.join('+')}` : String(value));

/** Formats faults as {@link parseFaults} reads them, without the defaults; `none` when there are no others. */
export function formatFaults({ down, up }: Faults): string {
  const [one, other] = [formatRules(down), formatRules(up)];
  const shared = one.filter((rule) => other.includes(rule));
  const only = (way: Way, rules: string[]) =>
    rules.filter((rule) => !shared.includes(rule)).map((rule) => `${way}.${rule}`);
  return [...shared, ...only('down', one), ...only('up', other)].join(',') || 'none';
}

function formatRules(rules: Rules): string[] {
  return RULES.filter((rule) => rules[rule] !== NO_RULES[rule]).map((rule) => `${rule}=${formatValue(rules[rule])}`);
}

/** Returns a line for each fault, with its values and its default. */
export function faultsHelp(): string {
  return RULES.map((rule) => {
    const schema = rulesShape[rule];
    const values = schema instanceof z.ZodUnion ? 'PROBABILITY|#N+N' : 'DURATION';
    return `  ${rule}=${values} (${NO_RULES[rule]})\n    ${schema.description}`;
  }).join('\n');
}

function faultsError(message: string): SupersimError {
  return new SupersimError('bad-input', `faults: ${message}`, { remedy: REMEDY });
}

const REMEDY = `Correct it; the faults are ${RULES.join(', ')}, both ways or within \`down\` or \`up\`.`;
