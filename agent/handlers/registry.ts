import { isCommandName, MAX_NAME_LENGTH } from '../../shared/command.js';
import { milliseconds } from '../../shared/duration.js';
import { SupersimError } from '../../shared/errors.js';
import { DEFAULT_TIMEOUT, type Handler, type HandlerDefinition } from './handler.js';
import { bindAny, bindSchema } from './params.js';

/** An agent's handlers by name. */
export type Registry = Map<string, Handler>;

/**
 * Adds a handler.
 *
 * @throws SupersimError `handler-invalid` when its name is invalid or taken
 */
export function addHandler(registry: Registry, handler: Handler): void {
  const { name } = handler;
  if (!isCommandName(name)) {
    throw new SupersimError(
      'handler-invalid',
      `${JSON.stringify(name)} is not a valid handler name: use dotted words of letters, digits, _ and -, at most ${MAX_NAME_LENGTH} characters`,
    );
  }
  if (registry.has(name)) throw new SupersimError('handler-invalid', `duplicate handler name ${name}`);
  registry.set(name, handler);
  countChange(registry);
}

/** Replaces all handlers in one step. */
export function replaceHandlers(registry: Registry, others: Registry): void {
  registry.clear();
  for (const [name, handler] of others) registry.set(name, handler);
  countChange(registry);
}

/** How often each registry was changed. */
const changes = new WeakMap<Registry, number>();

const changesOf = (registry: Registry): number => changes.get(registry) ?? 0;

function countChange(registry: Registry): void {
  changes.set(registry, changesOf(registry) + 1);
}

/** Makes a function that returns what is derived from all handlers: again only when one was added, or all were replaced. */
export function derivedFrom<T>(registry: Registry, derive: (handlers: readonly Handler[]) => T): () => T {
  let last: { readonly value: T; readonly changes: number } | undefined;
  return () => {
    const now = changesOf(registry);
    if (last?.changes !== now) last = { value: derive([...registry.values()]), changes: now };
    return last.value;
  };
}

/**
 * Makes a handler from its definition.
 *
 * @throws SupersimError `handler-invalid` when its params or its timeout are invalid
 */
export function compileHandler(definition: HandlerDefinition): Handler {
  const { name, description, params, safe = false, idempotent = safe, timeout = DEFAULT_TIMEOUT } = definition;
  const binding = params === undefined ? { bind: bindAny, usage: '' } : bindSchema(name, params);
  return {
    name,
    description,
    safe,
    idempotent,
    timeoutMs: readTimeout(name, timeout),
    ...binding,
    run: definition.run.bind(definition),
  };
}

/** Makes a handler of the agent itself: a safe one has places of its own. */
export function compileBuiltIn(definition: HandlerDefinition): Handler {
  const handler = compileHandler(definition);
  return { ...handler, hasOwnPlaces: handler.safe };
}

function readTimeout(name: string, timeout: string): number {
  try {
    return milliseconds(timeout);
  } catch (error) {
    throw new SupersimError(
      'handler-invalid',
      `the handler ${name} has the invalid timeout ${JSON.stringify(timeout)}`,
      {
        cause: error,
      },
    );
  }
}
