import { type Document, isMap, isScalar, isSeq, LineCounter, parse, parseDocument, visit } from 'yaml';
import { messageOf, SupersimError } from '../../shared/errors.js';

/** Parsed settings and their places in the text. */
export interface Source {
  /** The file's path, `SUPERSIM_AGENT_…` or `the command line`. */
  readonly name: string;
  readonly settings: unknown;
  /** Returns `line:column` of a setting, or of its nearest existing parent; undefined where there is no text. */
  at(path: readonly PropertyKey[], key?: string): string | undefined;
}

/** A setting from outside the file. */
export interface Override {
  readonly path: readonly string[];
  readonly value: unknown;
  /** Its origin, for error messages: `--port`, `SUPERSIM_AGENT_LOG_LEVEL`. */
  readonly from: string;
}

/**
 * Parses a configuration file. An empty file is an empty configuration.
 *
 * @throws SupersimError `config-unreadable` with line and column when it is not YAML
 */
export function parseYaml(name: string, text: string): Source {
  const lines = new LineCounter();
  const unreadable = (where: string, error: unknown) =>
    new SupersimError('config-unreadable', `${where}: ${messageOf(error)}`, { cause: error });
  // The parser's own check compares each key with all before it.
  const options = { lineCounter: lines, prettyErrors: false, uniqueKeys: false };
  const document = orThrow(() => parseDocument(text, options));
  const place = (offset: number) => {
    const { line, col } = lines.linePos(offset);
    return `${line}:${col}`;
  };
  const [error] = document.errors;
  if (error !== undefined) throw unreadable(`${name}:${place(error.pos[0])}`, error);
  const twice = findRepeatedKey(document);
  if (twice !== undefined)
    throw unreadable(`${name}:${place(rangeStart(twice) ?? 0)}`, new Error('map keys must be unique'));
  return {
    name,
    settings: orThrow(() => document.toJS({ maxAliasCount: 100 })) ?? {},
    at(path, key) {
      let node: unknown = document.contents;
      let offset = 0;
      for (const step of key === undefined ? path : [...path, key]) {
        const pair = isMap(node) ? node.items.find((item) => String(item.key) === String(step)) : undefined;
        const next: unknown = pair?.value ?? (isSeq(node) ? node.items[Number(step)] : undefined);
        const start = rangeStart(pair?.key) ?? rangeStart(next);
        if (start === undefined) break;
        offset = start;
        node = next;
      }
      return place(offset);
    },
  };

  /** The parser throws for too deep nesting, and for unknown or too many aliases. */
  function orThrow<T>(attempt: () => T): T {
    try {
      return attempt();
    } catch (error) {
      throw unreadable(name, error);
    }
  }
}

/** Returns the first key that its map has before. */
function findRepeatedKey(document: Document): unknown {
  let found: unknown;
  visit(document, {
    Map(_key, { items }) {
      const keys = items.map(({ key }) => key);
      const values = keys.map((key) => (isScalar(key) ? key.value : key));
      if (new Set(values).size === keys.length) return undefined;
      found = keys.find((_, index) => values.indexOf(values[index]) < index);
      return visit.BREAK;
    },
  });
  return found;
}

/**
 * Parses the value of a variable.
 *
 * @throws Error when it is not YAML
 */
export const parseYamlValue = (text: string): unknown => parse(text);

/** Returns the offset of a node in the text. */
function rangeStart(node: unknown): number | undefined {
  if (typeof node !== 'object' || node === null || !('range' in node) || !Array.isArray(node.range)) return undefined;
  const start: unknown = node.range[0];
  return typeof start === 'number' ? start : undefined;
}
