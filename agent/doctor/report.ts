import { styleText } from 'node:util';
import { printable } from '../../shared/cli.js';
import type { Report } from './examine.js';
import { type Finding, SEVERITIES, type Severity } from './finding.js';

const COLOURS = { good: 'green', note: 'cyan', warning: 'yellow', error: 'red' } as const;
const SEVERITY_WIDTH = Math.max(...SEVERITIES.map((severity) => severity.length));

/** Formats a report as text that is safe for a terminal. */
export function formatReport({ version, device, user, at, findings }: Report, isColoured: boolean): string {
  const width = Math.max(...findings.map(({ check }) => check.length));
  const head = printable(`supersim-agent ${version} on ${device}, checked by ${user} at ${at}`);
  const counts = SEVERITIES.map((severity) => `${countOf(findings, severity)} ${severity}`).join(', ');
  return [head, '', ...findings.map((finding) => formatFinding(finding, width, isColoured)), '', counts].join('\n');
}

const countOf = (findings: readonly Finding[], severity: Severity): number =>
  findings.filter((finding) => finding.severity === severity).length;

/** Formats what was inspected, what was found, and what to do, each on lines of its own. */
function formatFinding({ severity, check, looked, found, remedy, code }: Finding, width: number, isColoured: boolean) {
  const mark = severity.padEnd(SEVERITY_WIDTH);
  const indent = ' '.repeat(SEVERITY_WIDTH + width + 4);
  const first = `${isColoured ? styleText(COLOURS[severity], mark) : mark}  ${check.padEnd(width)}  ${printable(looked)}`;
  const told = `${found}${code === undefined ? '' : ` [${code}]`}`;
  const lines = [...told.split('\n'), ...(remedy === undefined ? [] : [`→ ${remedy}`])];
  return [first, ...lines.map((line) => indent + printable(line))].join('\n');
}
