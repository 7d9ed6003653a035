import { VERSION } from '../../shared/version.js';
import type { Check } from './check.js';
import { CHECKS } from './checks.js';
import type { Context } from './context.js';
import { type Finding, type Severity, worstOf } from './finding.js';
import { ownIdentity } from './identity.js';

export interface Report {
  readonly version: string;
  readonly device: string;
  /** As whom it was looked. */
  readonly user: string;
  /** ISO 8601. */
  readonly at: string;
  readonly worst: Severity;
  readonly findings: readonly Finding[];
}

/** Runs all checks, at the same time; their findings are in the checks' order. */
export async function examine(context: Context, checks: readonly Check[] = CHECKS): Promise<Report> {
  const at = new Date().toISOString();
  const findings = (await Promise.all(checks.map((check) => check.run(context)))).flat();
  const { id: device } = context.config.device;
  return { version: VERSION, device, user: ownIdentity().name, at, worst: worstOf(findings), findings };
}
