import { randomUUID } from 'node:crypto';
import type { Config } from '../../config/schema.js';
import type { AgentStatus } from '../../status.js';
import { dialectOf } from '../../transport/modem/dialects/index.js';
import type { ModemConsole } from '../../transport/transport.js';
import type { ControlModem } from './target.js';

const runs = new WeakMap<ModemConsole, string>();

/** The parts of an agent that the view of its modem needs. */
interface ModemOwner {
  readonly config: Pick<Config, 'modem'>;
  status(): Pick<AgentStatus, 'link'>;
}

/** Makes the control socket's view of the agent's modem; undefined where no modem is configured. */
export function createControlModem({ config, status }: ModemOwner, console: ModemConsole): ControlModem | undefined {
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

/** Identifies the log of one console: another console starts a new log. */
function runOf(console: ModemConsole): string {
  const run = runs.get(console) ?? randomUUID();
  runs.set(console, run);
  return run;
}

const modelOf = ({ link }: Pick<AgentStatus, 'link'>): string | undefined =>
  link?.links.find(({ modem }) => modem?.model !== undefined)?.modem?.model;

function dialectByModel(model: string | undefined): string | undefined {
  try {
    return model && dialectOf(model);
  } catch {
    // An unsupported model.
    return undefined;
  }
}
