import { defineHandler } from '../handler.js';

/** One value by position comes back as it is, several as a list, those by name as an object. */
export const echo = defineHandler({
  name: 'echo',
  description: 'Gives its parameters back',
  safe: true,
  run: (_params, { command }) => {
    const { positional, named } = command.params;
    if (positional.length === 0) return named;
    if (Object.keys(named).length > 0) return { ...named, args: positional };
    return positional.length === 1 ? positional[0] : positional;
  },
});
