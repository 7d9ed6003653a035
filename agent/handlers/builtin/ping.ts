import * as z from 'zod';
import { defineHandler } from '../handler.js';

export const ping = defineHandler({
  name: 'ping',
  description: 'Answers pong',
  params: z.object({}),
  safe: true,
  run: () => 'pong',
});
