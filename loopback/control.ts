import type { Context, Hono } from 'hono';
import * as z from 'zod';
import { messageOf, SupersimError } from '../shared/errors.js';
import { readBody } from './body.js';
import type { Counters } from './events.js';
import { resolveFaults, seedSchema } from './faults/settings.js';
import { issuesOf } from './issues.js';
import type { Radio } from './radio.js';
import type { Registry } from './registry.js';
import { SIM_STATES, type Sim, type SimState } from './sims.js';
import { notFound } from './vendor-error.js';

const faultsRequest = z.strictObject({
  faults: z.unknown().nonoptional('is missing; {} is none'),
  seed: seedSchema.optional(),
});
const stateRequest = z.strictObject({ state: z.enum(SIM_STATES) });

export interface ControlOptions {
  readonly radio: Radio;
  readonly registry: Registry;
  readonly counters: Readonly<Counters>;
  readonly setSimState: (state: SimState, sim?: string) => void;
}

/** What the loopback has beside the vendor's API: its faults and the states of its SIMs, in JSON. */
export function controlRoutes(app: Hono, { radio, registry, counters, setSimState }: ControlOptions): void {
  const faults = (c: Context) => c.json({ ...radio.status(), counters });
  app.get('/loopback/faults', faults);
  app.put('/loopback/faults', async (c) => {
    const request = await jsonBody(c, faultsRequest);
    radio.set(resolveFaults(request.faults), request.seed ?? radio.status().seed);
    return faults(c);
  });
  app.delete('/loopback/faults', (c) => {
    radio.set(resolveFaults({}), radio.status().seed);
    return faults(c);
  });

  const sims = (c: Context) => c.json({ sims: registry.sims().map(simView) });
  app.get('/loopback/sims', sims);
  app.put('/loopback/sims', async (c) => {
    setSimState((await jsonBody(c, stateRequest)).state);
    return sims(c);
  });

  const find = (c: Context<object, '/loopback/sims/:sim'>) => {
    const sim = registry.sim(c.req.param('sim'));
    if (sim === undefined) throw notFound(c.req.path);
    return sim;
  };
  app.get('/loopback/sims/:sim', (c) => c.json(simView(find(c))));
  app.put('/loopback/sims/:sim', async (c) => {
    const { sid } = find(c);
    setSimState((await jsonBody(c, stateRequest)).state, sid);
    return c.json(simView(find(c)));
  });
}

const simView = ({ uniqueName, sid, address, state }: Sim) => ({ name: uniqueName, sid, address, state });

/** @throws SupersimError `bad-input` for what is no JSON, or does not fit */
async function jsonBody<S extends z.ZodType>(c: Context, schema: S): Promise<z.output<S>> {
  const text = (await readBody(c)).toString('utf8');
  let parsed: unknown;
  try {
    parsed = JSON.parse(text);
  } catch (error) {
    throw new SupersimError('bad-input', `the body is no JSON: ${messageOf(error)}`, { cause: error });
  }
  const result = schema.safeParse(parsed);
  if (result.success) return result.data;
  throw new SupersimError('bad-input', issuesOf(result.error));
}
