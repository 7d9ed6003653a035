import type { CommandPart } from './command-line.js';
import type { DialectWords } from './grammar.js';

/** Ends a command. */
const FINAL = /^(?:OK|ERROR|\+CM[ES] ERROR:.*)$/;
/** URCs without a leading mark: at start, at power-down, and at the end of a connection. */
const BARE_URC =
  /^(?:RDY|APP RDY|READY|Ready|INIT ERROR|POWERED DOWN|NORMAL POWER DOWN|(?:SMS|PB) (?:DONE|READY|Ready)|C(?:all|ALL) (?:Ready|READY)|(?:UNDER|OVER)-VOLTAGE\b.*|NO CARRIER|RING|CONNECT(?: .*)?)$/;
/** URCs that begin with a mark and a name. */
const MARKED = /^[+*^#%][A-Z][A-Za-z0-9_ -]*(?::.*)?$/;
/** The modem has restarted or is powering down: its sockets and settings are lost. */
const RESET = /^(?:RDY|APP RDY|Ready|(?:NORMAL )?POWER(?:ED)? DOWN|\*ATREADY:.*)$/;
/** The URC of a registration has no `n` before its state: `+CEREG: 5`, `+CEREG: 5,"1A2B",…`. */
const REGISTRATION_URC = /^\+C(?:E|G)?REG: ?\d+(?:,"|$)/;

export const isFinal = (line: string, { sendResults }: DialectWords): boolean =>
  FINAL.test(line) || sendResults.includes(line);
export const isReset = (line: string): boolean => RESET.test(line);
export const isRegistrationUrc = (line: string): boolean => REGISTRATION_URC.test(line);
export const isUrc = (line: string): boolean => MARKED.test(line) || BARE_URC.test(line);

/** Whether a line is the echo of a command; no modem sends other lines that begin so. */
export const isEcho = (line: string): boolean => /^AT(?:$|[+&#%$^*\\A-Z0-9])/i.test(line);

/** Commands without arguments that answer in lines of their own name, or not at all. */
const NAMED_ANSWERS = /^(?:\+(?:CSQ|CESQ)|[EVQZ]\d?|&[A-UW-Z]\d?)$/;

/** Whether a line is part of the answer to a command in flight. */
export function answers(parts: readonly CommandPart[], line: string, words: DialectWords): boolean {
  const name = /^([+*^#%][A-Z0-9_]+):/.exec(line)?.[1];
  if (name !== undefined) {
    return parts.some(({ verb }) => verb === name || words.answerNames[verb]?.includes(name) === true);
  }
  if (words.errorNames.some((error) => line.startsWith(`${error}:`))) return parts.length > 0;
  return !MARKED.test(line) && !BARE_URC.test(line) && parts.some((part) => mayAnswerBare(part, words));
}

/** Identities come as bare lines: `AT+CGMM` → `EC25`. */
const mayAnswerBare = ({ verb, form, args }: CommandPart, { namedAnswers }: DialectWords): boolean =>
  (form === '' && !NAMED_ANSWERS.test(verb) && !namedAnswers.includes(verb)) ||
  (verb === '+CGSN' && form === '=' && args.length === 1);

/** Whether bytes, if they came from the modem, could be an answer or its beginning. */
export function readsLikeAnswer(payload: Buffer, words: DialectWords): boolean {
  const text = payload.toString('latin1').replace(/^[\r\n]+/, '');
  const [first = ''] = text.split(/[\r\n]/);
  if (first === '' || isFinal(first, words) || isUrc(first)) return true;
  const starts = ['OK', 'ERROR', ...words.sendResults, '+', '>', 'RDY', 'NO CARRIER'];
  return starts.some((start) => start.startsWith(text));
}
