import { statSync } from 'node:fs';
import { pathToFileURL } from 'node:url';
import * as z from 'zod';
import { raceTimeout } from '../../../shared/async/with-timeout.js';
import { describeIssues } from '../../../shared/check-input.js';
import { messageOf, SupersimError } from '../../../shared/errors.js';
import { resolveSafePath } from '../file-safety.js';
import type { Handler, HandlerDefinition } from '../handler.js';
import { compileHandler } from '../registry.js';
import { createModuleFiles } from './files.js';
import { hookLoader } from './hooks.js';

/** Time limit for loading a module. */
const LOAD_TIMEOUT_MS = 10_000;

const definitionSchema = z.looseObject({
  name: z.string(),
  description: z.string(),
  params: z.looseObject({ _zod: z.unknown() }).optional(),
  safe: z.boolean().optional(),
  idempotent: z.boolean().optional(),
  timeout: z.string().optional(),
  run: z.custom((value) => typeof value === 'function', 'is not a function'),
});

const files = createModuleFiles(stampOf);
/** Loaded editions by module path. */
const loaded = new Map<string, number>();

/**
 * Loads an ES module. A module loaded before is loaded again if it, or a file that it imports, has changed.
 *
 * @returns the exported objects that have a member `run`
 * @throws (rejects) SupersimError `handler-invalid` when it does not load or exports no handler, `program-unsafe` when
 * others can change it
 */
export async function loadModule(path: string): Promise<object[]> {
  const url = pathToFileURL(await resolveSafePath(path)).href;
  const loader = await hookLoader();
  const noteImports = () => loader.imports().forEach(files.note);
  noteImports();
  for (const [file, edition] of files.renew(url)) loader.renew(file, edition);
  const edition = files.editionOf(url);
  const importing = importFile(edition === 0 ? url : `${url}?edition=${edition}`).finally(noteImports);
  const reason = (ms: number) =>
    new SupersimError('handler-invalid', `${path} did not finish loading within ${ms / 1000} s`);
  const exported = await raceTimeout(LOAD_TIMEOUT_MS, importing, { reason }).catch((error: unknown) => {
    files.failed(url);
    throw error;
  });
  loaded.set(path, edition);
  const handlers = [...new Set(Object.values(exported))].filter(
    (value) => typeof value === 'object' && value !== null && 'run' in value,
  );
  if (handlers.length === 0)
    throw new SupersimError('handler-invalid', `${path} exports no handler: use defineHandler`);
  return handlers;

  async function importFile(its: string): Promise<Record<string, unknown>> {
    try {
      return await import(its);
    } catch (error) {
      throw new SupersimError('handler-invalid', `${path} cannot be loaded: ${messageOf(error)}`, { cause: error });
    }
  }
}

/** Returns the loaded edition of each module. */
export const loadedEditions = (): ReadonlyMap<string, number> => new Map(loaded);

/** Makes the same stamp as the hook; empty for a missing file. */
function stampOf(file: string): string {
  try {
    const { ino, size, ctimeNs } = statSync(new URL(file), { bigint: true });
    return [ino, size, ctimeNs].join(' ');
  } catch {
    return '';
  }
}

/**
 * Makes a handler from an exported object.
 *
 * @throws SupersimError `handler-invalid`
 */
export function readHandler(exported: object): Handler {
  if (isHandlerDefinition(exported)) return compileHandler(exported);
  const { error } = definitionSchema.safeParse(exported);
  const problem = describeIssues(error?.issues ?? []);
  throw new SupersimError('handler-invalid', `not a handler as made by defineHandler: ${problem}`);
}

const isHandlerDefinition = (value: unknown): value is HandlerDefinition => definitionSchema.safeParse(value).success;
