import type { CommandFaults } from '../core.js';
import type { ModemFaults } from './faults.js';
import type { FaultKind, Sampler } from './sampler.js';

const PROMPT_ENDS = { bare: '', space: ' ', newline: '\r\n' } as const;

export interface CommandFaultsOptions {
  /** The current faults. */
  readonly faults: () => ModemFaults;
  readonly sampler: () => Sampler;
  readonly onHit: (fault: FaultKind, text: string) => void;
}

/** Applies the faults to commands. */
export function createCommandFaults({ faults, sampler, onHit }: CommandFaultsOptions): CommandFaults {
  const hitsSend = (fault: 'sendBusy' | 'sendFail') => {
    const isHit = sampler().sample(fault, faults()[fault]) !== undefined;
    if (isHit) onHit(fault, '');
    return isHit;
  };
  return {
    refuse(text) {
      const command = text.toUpperCase();
      const entries = Object.entries(faults().errors);
      const [prefix, refusal] = entries.find(([beginning]) => command.startsWith(beginning.toUpperCase())) ?? [];
      if (prefix === undefined || refusal === undefined) return undefined;
      const on = 'on' in refusal && refusal.on !== undefined ? refusal.on : 1;
      if (sampler().sample(`error ${prefix}`, on) === undefined) return undefined;
      onHit('error', text);
      return refusal.cme;
    },
    sendIsBusy: () => hitsSend('sendBusy'),
    sendFails: () => hitsSend('sendFail'),
    prompt(usual) {
      const { prompt } = faults();
      return prompt === 'usual' ? usual : `${usual.trimEnd()}${PROMPT_ENDS[prompt]}`;
    },
  };
}
