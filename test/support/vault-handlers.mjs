/** Handlers whose names, parameters, results and events are secrets: each run leaves a line in the file RUNS. */
import { appendFileSync } from 'node:fs';

const RUNS = String(process.env['RUNS']);

/** @type {(name: string, params: unknown) => void} */
const leaveLine = (name, params) => appendFileSync(RUNS, `${JSON.stringify([name, params])}\n`);

export const survey = {
  name: 'vault.survey',
  description: 'Reads something short',
  safe: true,
  /** @param {unknown} params */
  run(params) {
    leaveLine('survey', params);
    return { bird: 'moonlit heron' };
  },
};

export const inventory = {
  name: 'vault.inventory',
  description: 'Reads something long',
  safe: true,
  run() {
    leaveLine('inventory', null);
    return 'sparrow feathers, '.repeat(180);
  },
};

export const unlock = {
  name: 'vault.unlock',
  description: 'Must not run twice',
  /** @param {unknown} params */
  run(params) {
    leaveLine('unlock', params);
    return 'kestrel cabinet';
  },
};

export const deposit = {
  name: 'vault.deposit',
  description: 'Takes something long',
  run() {
    leaveLine('deposit', null);
    return 'in the osprey drawer';
  },
};

export const jammed = {
  name: 'vault.jammed',
  description: 'Fails',
  run() {
    leaveLine('jammed', null);
    throw new Error('blocked by a magpie');
  },
};

export const destroy = {
  name: 'vault.destroy',
  description: 'Is not allowed',
  run() {
    leaveLine('destroy', null);
  },
};

export const sirens = {
  name: 'vault.sirens',
  description: 'Sends events',
  /** @type {(params: unknown, context: import('../../agent/handlers/handler.js').HandlerContext) => Promise<void>} */
  async run(params, { emit }) {
    leaveLine('sirens', params);
    await emit('siren.raised', { by: 'nightjar' });
    await emit(Buffer.from('\0recording of a nightjar'));
  },
};
