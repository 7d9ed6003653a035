import { describeSecurity, type Unprotected } from '../../../command/authorize.js';
import { defineCheck } from '../../check.js';
import { type Judgement, note, warning } from '../../finding.js';

interface Observation {
  readonly unprotected: Unprotected;
  /** Names of the handlers that need authentication: those with a socket. */
  readonly socketHandlers: readonly string[];
}

/** Checks who may command the device. */
export const security = defineCheck<Observation>({
  name: 'security',
  async look({ config }) {
    const sockets = Object.entries(config.handlers).filter(([, handler]) => 'socket' in handler);
    return { unprotected: config.security.unprotected, socketHandlers: sockets.map(([name]) => name) };
  },
  judge: judgeSecurity,
});

export function judgeSecurity({ unprotected, socketHandlers }: Observation): Judgement[] {
  const looked = 'security.unprotected';
  if (unprotected === 'allow') {
    const remedy = 'Remove `security.unprotected` unless these commands are needed.';
    return [warning(looked, describeSecurity(unprotected), remedy)];
  }
  const judgement = note(looked, describeSecurity(unprotected), 'Keep `allow` as narrow as the network permits.');
  if (socketHandlers.length === 0) return [judgement];
  const found = `configured but off: ${socketHandlers.join(', ')}`;
  const remedy = 'Set `security.unprotected: allow` to let every admitted source run them, or remove them.';
  return [judgement, warning(looked, found, remedy, 'authentication-required')];
}
