import { statSync } from 'node:fs';
import { pathToFileURL } from 'node:url';
import * as z from 'zod';
import { describeIssues } from '../../../shared/check-input.js';
import { messageOf, SupersimError } from '../../../shared/errors.js';
import { raceTimeout } from '../../../shared/with-timeout.js';
import { checkedPath } from '../file-safety.js';
import type { Handler, HandlerDefinition } from '../handler.js';
import { compileHandler } from '../registry.js';
import { createModuleFiles } from './files.js';
import { hookLoader } from './hooks.js';

/** A module that does not finish loading in this time is set aside. */
const LOAD_TIMEOUT_MS = 10_000;

const definitionSchema = z.looseObject({
  name: z.string(),
  description: z.string(),
  params: z.looseObject({ _zod: z.unknown() }).optional(),
  safe: z.boolean().optional(),
  idempotent: z.boolean().optional(),
  timeout: z.string().optional(),
  run: z.custom((value) => typeof value === 'function', 'is no function'),
});

const files = createModuleFiles(stampOf);
/** The editions that were loaded, by the modules' paths. */
const loaded = new Map<string, number>();

/**
 * Loads an ES module; one that has been loaded before, or a file that it imports, is loaded anew if it has changed.
 *
 * @returns what it exports, under whatever names, that is meant as a handler: objects with a member `run`
 * @throws SupersimError `handler-invalid` when it does not load or exports none, `program-unsafe` when others can write it
 */
export async function loadModule(path: string): Promise<object[]> {
  const url = pathToFileURL(await checkedPath(path)).href;
  const loader = await hookLoader();
  const noteImports = () => loader.imports().forEach(files.note);
  noteImports();
  for (const [file, edition] of files.renew(url)) loader.renew(file, edition);
  const edition = files.editionOf(url);
  const importing = importFile(edition === 0 ? url : `${url}?edition=${edition}`).finally(noteImports);
  const reason = (ms: number) =>
    new SupersimError('handler-invalid', `${path} did not finish loading in ${ms / 1000} s`);
  const exported = await raceTimeout(LOAD_TIMEOUT_MS, importing, { reason }).catch((error: unknown) => {
    files.failed(url);
    throw error;
  });
  loaded.set(path, edition);
  const handlers = [...new Set(Object.values(exported))].filter(
    (value) => typeof value === 'object' && value !== null && 'run' in value,
  );
  if (handlers.length === 0)
    throw new SupersimError('handler-invalid', `${path} exports no handler, as defineHandler makes it`);
  return handlers;

  async function importFile(its: string): Promise<Record<string, unknown>> {
    try {
      return await import(its);
    } catch (error) {
      throw new SupersimError('handler-invalid', `${path} cannot be loaded: ${messageOf(error)}`, { cause: error });
    }
  }
}

/** Which edition of each module was loaded last. */
export const loadedEditions = (): ReadonlyMap<string, number> => new Map(loaded);

/** As the hook makes it; empty for a file that is not there. */
function stampOf(file: string): string {
  try {
    const { ino, size, ctimeNs } = statSync(new URL(file), { bigint: true });
    return [ino, size, ctimeNs].join(' ');
  } catch {
    return '';
  }
}

/**
 * Makes a handler from what a module exports.
 *
 * @throws SupersimError `handler-invalid`
 */
export function readHandler(exported: object): Handler {
  if (isHandlerDefinition(exported)) return compileHandler(exported);
  const { error } = definitionSchema.safeParse(exported);
  const problem = describeIssues(error?.issues ?? []);
  throw new SupersimError('handler-invalid', `it is no handler as defineHandler makes it: ${problem}`);
}

const isHandlerDefinition = (value: unknown): value is HandlerDefinition => definitionSchema.safeParse(value).success;
