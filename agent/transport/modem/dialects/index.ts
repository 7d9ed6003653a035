import { SupersimError } from '../../../../shared/errors.js';
import { DIALECT_NAMES, type DialectName } from '../../../config/dialect-names.js';
import type { CommandPart } from '../at/command-line.js';
import { type Action, type Grammar, initialModemState } from '../at/grammar.js';
import type { Dialect } from './dialect.js';
import { quectel } from './quectel.js';
import { simcom7080 } from './simcom7080.js';
import { simcom7600 } from './simcom7600.js';
import { ublox } from './ublox.js';

/** Every dialect that the agent speaks. */
export const DIALECTS = { quectel, simcom7600, simcom7080, ublox } as const satisfies Record<DialectName, Dialect>;

const ALL: readonly Dialect[] = Object.values(DIALECTS);
const ALL_WORDS = ALL.map(({ grammar }) => grammar.words);

/** The grammar of a modem whose model is not known yet: commands and lines of every dialect, no sockets. */
export const PLAIN: Grammar = {
  confirmation: 'result',
  words: {
    sendResults: ALL_WORDS.flatMap(({ sendResults }) => sendResults),
    errorNames: ALL_WORDS.flatMap(({ errorNames }) => errorNames),
    answerNames: Object.fromEntries(ALL_WORDS.flatMap(({ answerNames }) => Object.entries(answerNames))),
    namedAnswers: ALL_WORDS.flatMap(({ namedAnswers }) => namedAnswers),
  },
  echoesPayloads: false,
  action: () => undefined,
  header: () => undefined,
  meaning: () => undefined,
};

/** Commands of any dialect that may take minutes. */
export const SLOW_COMMANDS: readonly string[] = ALL.flatMap(({ slowCommands }) => slowCommands);

/** Commands of any dialect that carry their payload in hexadecimal. */
export const HEX_SENDS: readonly string[] = ALL.flatMap(({ hexSends }) => hexSends);

/** What a command does, by each dialect that knows it. */
export const actionsOf = (part: CommandPart): readonly Action[] =>
  ALL.flatMap(({ grammar }) => grammar.action(part, initialModemState()) ?? []);

/** Models that are known and not supported. */
const UNSUPPORTED: readonly (readonly [models: RegExp, what: string])[] = [
  [/SIM7000|SIM[89]\d\d/i, 'a SIMCom with the older CIPSTART commands'],
  [/^(?:M95|UG9[56]|BC\d\d)|Quectel_M/i, 'a Quectel with another set of commands'],
  [/nRF91/i, 'a Nordic'],
  [/[ML][EL]\d\d\d/i, 'a Telit'],
  [/HL78/i, 'a Sierra Wireless'],
  [/ESP/i, 'a Wi-Fi module'],
];

/**
 * Returns the dialect of a modem by its answer to `AT+CGMM`.
 *
 * @throws SupersimError `modem-unknown`
 */
export function dialectOf(model: string): DialectName {
  const name = DIALECT_NAMES.find((one) => DIALECTS[one].models.test(model));
  if (name !== undefined) return name;
  const what = UNSUPPORTED.find(([models]) => models.test(model))?.[1];
  throw new SupersimError(
    'modem-unknown',
    `unsupported modem model ${model}${what === undefined ? '' : `: it is ${what}`}`,
  );
}
