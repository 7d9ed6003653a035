import { randomUUID } from 'node:crypto';
import type { Agent } from '../../agent.js';
import { dialectOf } from '../../transport/modem/dialects/index.js';
import type { ModemConsole } from '../../transport/transport.js';
import type { ControlModem } from './target.js';

const runs = new WeakMap<ModemConsole, string>();

/** The agent's modem as the control socket shows it; undefined where it uses none. */
export function viewedModem({ config, status }: Agent, console: ModemConsole): ControlModem | undefined {
  const { path, dialect } = config.modem;
  if (path === undefined) return undefined;
  return {
    path,
    run: runOf(console),
    at: console.at,
    log: console.log,
    dialect: () => (dialect === 'auto' ? dialectByModel(modelOf(status())) : dialect),
  };
}

/** The same for one modem as long as it is in use: its log begins anew with the next. */
function runOf(console: ModemConsole): string {
  const run = runs.get(console) ?? randomUUID();
  runs.set(console, run);
  return run;
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
