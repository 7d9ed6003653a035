/** One command of a command line: `AT+CMEE=2;+CGMM` has two. */
export interface CommandPart {
  /** In capitals, without AT: `+QIRD`, `I`, `E0`. */
  readonly verb: string;
  /** `=` with arguments, `?` for a query, empty for a command that just acts. */
  readonly form: '=' | '?' | '';
  /** Without quotation marks. */
  readonly args: readonly string[];
}

const PART = /^([+&#%$^*\\]?[A-Z0-9_]+)(=\?|\?|=)?(.*)$/i;

/** Splits a command line into its commands; a line that is no AT command has none. */
export function splitCommand(line: string): readonly CommandPart[] {
  if (!/^AT/i.test(line)) return [];
  return splitOutsideQuotes(line.slice(2), ';').flatMap((text) => {
    const [, verb, operator = '', rest = ''] = PART.exec(text.trim()) ?? [];
    if (verb === undefined) return [];
    const form = operator === '=' ? '=' : operator === '' ? '' : '?';
    const args = form === '=' ? splitOutsideQuotes(rest, ',').map(unquote) : [];
    return [{ verb: verb.toUpperCase(), form, args }];
  });
}

/** Returns the fields after the colon of a line, without quotation marks. */
export const fieldsOf = (line: string): readonly string[] =>
  splitOutsideQuotes(line.slice(line.indexOf(':') + 1), ',').map(unquote);

function splitOutsideQuotes(text: string, separator: string): string[] {
  const parts: string[] = [''];
  let quoted = false;
  for (const character of text) {
    if (character === '"') quoted = !quoted;
    if (character === separator && !quoted) parts.push('');
    else parts.push((parts.pop() ?? '') + character);
  }
  return parts;
}

const unquote = (field: string): string => field.trim().replaceAll('"', '');

/** Parses a whole number from 0; undefined for anything else. */
export const wholeNumber = (text: string | undefined): number | undefined =>
  text !== undefined && /^\d{1,9}$/.test(text) ? Number(text) : undefined;
