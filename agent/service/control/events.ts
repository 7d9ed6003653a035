import type * as z from 'zod';
import { checkInput } from '../../../shared/check-input.js';
import { messageOf, SupersimError } from '../../../shared/errors.js';
import { eventSchema } from './schema.js';
import type { ControlEvents, EventState } from './target.js';

/** Maximum concurrent events: they must not use up the control socket's connections. */
const MAX_CONCURRENT = 4;

/** Sends an event of given bytes, or of a name and data. @throws (rejects) SupersimError */
type Dispatch = (event: string | Uint8Array, data?: unknown) => Promise<EventState>;

/** Sends events of other programs on the device through the agent. */
export function createControlEvents({ dispatch }: { readonly dispatch: Dispatch }): ControlEvents {
  let concurrent = 0;
  return {
    async send(body, isJson) {
      if (body.length === 0) throw new SupersimError('bad-input', 'the event is empty');
      const { event, data } = isJson ? readEvent(body) : { event: body, data: undefined };
      if (concurrent >= MAX_CONCURRENT) {
        throw new SupersimError('busy', `${concurrent} events are being sent already`, {
          remedy: 'Send it again when they have been sent.',
        });
      }
      concurrent++;
      try {
        return await dispatch(event, data);
      } finally {
        concurrent--;
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
    throw new SupersimError('bad-input', `the event is not JSON: ${messageOf(error)}`, { cause: error });
  }
  return checkInput(eventSchema, document, 'the event');
}
