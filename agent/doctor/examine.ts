import { VERSION } from '../../shared/version.js';
import type { Check } from './check.js';
import { CHECKS } from './checks.js';
import type { Context } from './context.js';
import { type Finding, type Severity, worstOf } from './finding.js';
import { ownIdentity } from './identity.js';

export interface Report {
  readonly version: string;
  readonly device: string;
  /** The user who ran the doctor. */
  readonly user: string;
  /** ISO 8601. */
  readonly at: string;
  readonly worst: Severity;
  readonly findings: readonly Finding[];
}

/** Runs all checks concurrently; the findings are in the order of the checks. */
export async function examine(context: Context, checks: readonly Check[] = CHECKS): Promise<Report> {
  const at = new Date().toISOString();
  const findings = (await Promise.all(checks.map((check) => check.run(context)))).flat();
  const { id: device } = context.config.device;
  return { version: VERSION, device, user: ownIdentity().name, at, worst: worstOf(findings), findings };
}
