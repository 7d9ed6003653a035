import { isMap, isSeq, LineCounter, parse, parseDocument } from 'yaml';
import { messageOf, SupersimError } from '../../shared/errors.js';

/** A plain tree of settings and where each of them was written. */
export interface Source {
  /** The file's path, `SUPERSIM_AGENT_…` or `the command line`. */
  readonly name: string;
  readonly settings: unknown;
  /** `line:column` of a setting, or of the nearest one above it that is there; undefined where there are no lines. */
  at(path: readonly PropertyKey[], key?: string): string | undefined;
}

/** A setting from outside the file. */
export interface Override {
  readonly path: readonly string[];
  readonly value: unknown;
  /** Where it was given, for error messages: `--port`, `SUPERSIM_AGENT_LOG_LEVEL`. */
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
  const document = orThrow(() => parseDocument(text, { lineCounter: lines, prettyErrors: false, uniqueKeys: true }));
  const [error] = document.errors;
  const place = (offset: number) => {
    const { line, col } = lines.linePos(offset);
    return `${line}:${col}`;
  };
  if (error !== undefined) throw unreadable(`${name}:${place(error.pos[0])}`, error);
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

  /** The parser throws for what is nested too deeply, and for aliases: one that refers to nothing, or far too many. */
  function orThrow<T>(attempt: () => T): T {
    try {
      return attempt();
    } catch (error) {
      throw unreadable(name, error);
    }
  }
}

/**
 * A value alone, as a variable holds it.
 *
 * @throws when it is not YAML
 */
export const parseYamlValue = (text: string): unknown => parse(text);

/** Where a node begins in the text. */
function rangeStart(node: unknown): number | undefined {
  if (typeof node !== 'object' || node === null || !('range' in node) || !Array.isArray(node.range)) return undefined;
  const start: unknown = node.range[0];
  return typeof start === 'number' ? start : undefined;
}
