import * as z from 'zod';
import { defineHandler, type HandlerDefinition } from '../handler.js';
import type { Registry } from '../registry.js';

/** @param registry is read when the command runs, and so lists the present handlers */
export const commands = (registry: Registry): HandlerDefinition =>
  defineHandler({
    name: 'commands',
    description: 'Lists the commands and their parameters',
    params: z.object({ prefix: z.string().optional() }),
    safe: true,
    run: ({ prefix = '' }) =>
      [...registry.values()]
        .filter((handler) => handler.name.startsWith(prefix))
        .map(({ name, usage, description }) => ({ name, params: usage, description })),
  });
