/** One command of a command line. */
export interface AtCommand {
  /** Upper case: `+QIOPEN`, `&D`, `E`. */
  readonly name: string;
  readonly kind: 'execute' | 'read' | 'test' | 'set';
  /** Arguments of `set` without quotes; an empty one is undefined. */
  readonly args: readonly (string | undefined)[];
  /** The command as written, without `AT`. */
  readonly text: string;
}

const EXTENDED = /^([+#%^$][A-Za-z0-9]+)(=\?|\?|=(.*))?$/s;
const BASIC = /^([A-Za-z&\\][A-Za-z]?|[A-Za-z])(\d*)$/;

/** Parses the part of a line after `AT`; returns undefined when it is not a list of commands. */
export function parseCommands(line: string): AtCommand[] | undefined {
  const commands: AtCommand[] = [];
  for (const part of splitOutsideQuotes(line, ';')) {
    const parsed = /^[+#%^$]/.test(part.trim()) ? [parseExtended(part.trim())] : parseBasics(part);
    for (const command of parsed) {
      if (command === undefined) return undefined;
      commands.push(command);
    }
  }
  return commands;
}

function parseExtended(text: string): AtCommand | undefined {
  const [, name, tail, written = ''] = EXTENDED.exec(text) ?? [];
  if (name === undefined) return undefined;
  const base = { name: name.toUpperCase(), text, args: [] };
  if (tail === undefined) return { ...base, kind: 'execute' };
  if (tail === '?') return { ...base, kind: 'read' };
  if (tail === '=?') return { ...base, kind: 'test' };
  return { ...base, kind: 'set', args: splitOutsideQuotes(written, ',').map(unquoted) };
}

/** Parses basic commands: `E0V1` is two, `&D0` is one. An extended one may follow without a semicolon. */
function parseBasics(text: string): (AtCommand | undefined)[] {
  const pieces = text.replaceAll(' ', '').match(/[&\\]?[A-Za-z]\d*|[+#%^$].*|./gs) ?? [];
  return pieces.map((piece) => {
    if (/^[+#%^$]/.test(piece)) return parseExtended(piece);
    const [, name, digits = ''] = BASIC.exec(piece) ?? [];
    if (name === undefined) return undefined;
    return { name: name.toUpperCase(), kind: 'set', args: [digits || '0'], text: piece };
  });
}

function splitOutsideQuotes(text: string, separator: string): string[] {
  const parts = [''];
  let quoted = false;
  for (const character of text) {
    if (character === '"') quoted = !quoted;
    if (character === separator && !quoted) parts.push('');
    else parts.push(`${parts.pop()}${character}`);
  }
  return parts;
}

function unquoted(text: string): string | undefined {
  const trimmed = text.trim();
  if (trimmed === '') return undefined;
  return /^".*"$/s.test(trimmed) ? trimmed.slice(1, -1) : trimmed;
}

/** Parses an integer from `least` to `most`; returns undefined for anything else. */
export function integer(argument: string | undefined, least: number, most: number): number | undefined {
  if (argument === undefined || !/^\d{1,9}$/.test(argument)) return undefined;
  const number = Number(argument);
  return number >= least && number <= most ? number : undefined;
}

/** Parses hexadecimal digits; returns undefined for anything else. */
export function hexBytes(text: string | undefined): Buffer | undefined {
  return text !== undefined && /^(?:[0-9A-Fa-f]{2})+$/.test(text) ? Buffer.from(text, 'hex') : undefined;
}
