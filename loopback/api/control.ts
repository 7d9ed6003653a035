import type { Context, Hono } from 'hono';
import * as z from 'zod';
import type { SimRegistry } from '../account/registry.js';
import { SIM_STATES, type Sim, type SimState } from '../account/sims.js';
import type { LoopbackModem } from '../modem/status.js';
import { resolveFaults, seedSchema } from '../network/faults/settings.js';
import type { Radio } from '../network/radio.js';
import { notFound } from '../vendor-error.js';
import { type ApiFaultControl, resolveApiFaults } from './faults.js';
import { jsonBody } from './json-body.js';
import { modemRoutes } from './modem-control.js';
import type { Tokens } from './tokens.js';

const faultsRequest = z.strictObject({
  faults: z.unknown().nonoptional('is missing; {} is none'),
  seed: seedSchema.optional(),
});
const stateRequest = z.strictObject({ state: z.enum(SIM_STATES) });

export interface ControlRouteOptions {
  readonly radio: Radio;
  readonly apiFaults: ApiFaultControl;
  readonly registry: SimRegistry;
  /** Shown with the faults. */
  readonly counters: Readonly<Record<string, number>>;
  readonly modem: () => LoopbackModem | undefined;
  readonly setSimState: (state: SimState, sim?: string) => void;
  readonly tokens: Tokens;
}

/** The loopback's own routes beside the vendor's API: faults, states of SIMs, and the revocation of tokens. */
export function controlRoutes(
  app: Hono,
  { radio, apiFaults, registry, counters, modem, setSimState, tokens }: ControlRouteOptions,
): void {
  modemRoutes(app, modem);
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

  const faultsOfApi = (c: Context) => c.json({ ...apiFaults.status(), counters });
  app.get('/loopback/api-faults', faultsOfApi);
  app.put('/loopback/api-faults', async (c) => {
    const request = await jsonBody(c, faultsRequest);
    apiFaults.set(resolveApiFaults(request.faults), request.seed ?? apiFaults.status().seed);
    return faultsOfApi(c);
  });
  app.delete('/loopback/api-faults', (c) => {
    apiFaults.set(resolveApiFaults({}), apiFaults.status().seed);
    return faultsOfApi(c);
  });

  app.delete('/loopback/tokens', (c) => {
    tokens.revoke();
    return c.body(null, 204);
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
