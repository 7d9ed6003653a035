import * as z from 'zod';
import type { CutResult } from '../../../shared/format/cut.js';
import { keepJson, toJson } from '../../../shared/format/value.js';
import { MAX_PAYLOAD_BYTES } from '../../../shared/limits.js';
import { defineHandler, type Handler, type HandlerDefinition } from '../handler.js';
import { derivedFrom, type Registry } from '../registry.js';

/** A longer list, as JSON, fits into a datagram in no format. */
const LONG_BYTES = 2 * MAX_PAYLOAD_BYTES;

/** A handler in the list, and how JSON has it. */
interface Entry {
  readonly item: { readonly name: string; readonly params: string; readonly description: string };
  readonly json: string;
  readonly bytes: number;
}

function entryOf({ name, usage, description }: Handler): Entry {
  const item = { name, params: usage, description };
  const json = toJson(item);
  return { item, json, bytes: Buffer.byteLength(json) };
}

/** @param registry is read when the command runs, and so lists the present handlers */
export function commands(registry: Registry): HandlerDefinition {
  const all = derivedFrom(registry, (handlers) => {
    const entries = handlers.map(entryOf);
    return { entries, items: keepJson(itemsOf(entries)) };
  });
  return defineHandler({
    name: 'commands',
    description: 'Lists the commands and their parameters',
    params: z.object({ prefix: z.string().optional() }),
    safe: true,
    run({ prefix = '' }, { command }) {
      const { entries: known, items } = all();
      const entries = prefix === '' ? known : known.filter(({ item }) => item.name.startsWith(prefix));
      const bytes = entries.reduce((sum, entry) => sum + entry.bytes + 1, 1);
      // In CoAP all of it can be read in blocks; otherwise most of a long list would be encoded to be cut off.
      if (command.format !== 'coap' && bytes > LONG_BYTES) return beginningOf(entries, bytes);
      return entries === known ? items : itemsOf(entries);
    },
  });
}

const itemsOf = (entries: readonly Entry[]) => entries.map(({ item }) => item);

/** Returns what fits into a datagram at most, as if all had been encoded and cut then. */
function beginningOf(entries: readonly Entry[], bytes: number): CutResult {
  let head = '[';
  for (const { json } of entries) {
    if (head.length > MAX_PAYLOAD_BYTES) break;
    head += `${json},`;
  }
  return { cut: true, bytes, head };
}
