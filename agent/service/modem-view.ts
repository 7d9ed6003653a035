import { randomUUID } from 'node:crypto';
import type { Agent } from '../agent.js';
import { dialectOf } from '../transport/modem/dialects.js';
import type { ModemConsole } from '../transport/transport.js';
import type { ControlModem } from './control.js';

/** The agent's modem as the control socket shows it; undefined where it uses none. */
export function viewedModem({ config, status }: Agent, console: ModemConsole): ControlModem | undefined {
  const { path, dialect } = config.modem;
  if (path === undefined) return undefined;
  return {
    path,
    run: randomUUID(),
    at: console.at,
    log: console.log,
    dialect: () => (dialect === 'auto' ? dialectByModel(modelOf(status())) : dialect),
  };
}

const modelOf = ({ link }: ReturnType<Agent['status']>): string | undefined =>
  link?.links.find(({ modem }) => modem?.model !== undefined)?.modem?.model;

function dialectByModel(model: string | undefined): string | undefined {
  try {
    return model && dialectOf(model);
  } catch {
    // One that it cannot speak with.
    return undefined;
  }
}
