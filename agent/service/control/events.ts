import type * as z from 'zod';
import { checkInput } from '../../../shared/check-input.js';
import { messageOf, SupersimError } from '../../../shared/errors.js';
import type { Agent } from '../../agent.js';
import { eventSchema } from './schema.js';
import type { ControlEvents } from './socket.js';

/** How many are on their way at once: they must not take all of the control socket's connections. */
const MAX_ON_THEIR_WAY = 4;

/** Lets other programs of the device send events by the agent. */
export function createEvents({ dispatch }: Pick<Agent, 'dispatch'>): ControlEvents {
  let onTheirWay = 0;
  return {
    async send(body, isJson) {
      if (body.length === 0) throw new SupersimError('bad-input', 'the event is empty');
      const { event, data } = isJson ? readEvent(body) : { event: body, data: undefined };
      if (onTheirWay >= MAX_ON_THEIR_WAY) {
        throw new SupersimError('busy', `${onTheirWay} events are on their way already`, {
          remedy: 'Send it again when they have left.',
        });
      }
      onTheirWay++;
      try {
        return await dispatch(event, data);
      } finally {
        onTheirWay--;
      }
    },
  };
}

/** @throws SupersimError `bad-input` */
function readEvent(body: Buffer): z.output<typeof eventSchema> {
  let document: unknown;
  try {
    document = JSON.parse(body.toString());
  } catch (error) {
    throw new SupersimError('bad-input', `the event is no JSON: ${messageOf(error)}`, { cause: error });
  }
  return checkInput(eventSchema, document, 'the event');
}
