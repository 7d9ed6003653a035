import { defineHandler } from '../handler.js';

/** Returns one positional parameter as it is, several as an array, and named ones as an object. */
export const echo = defineHandler({
  name: 'echo',
  description: 'Returns its parameters',
  safe: true,
  run: (_params, { command }) => {
    const { positional, named } = command.params;
    if (positional.length === 0) return named;
    if (Object.keys(named).length > 0) return { ...named, args: positional };
    return positional.length === 1 ? positional[0] : positional;
  },
});
