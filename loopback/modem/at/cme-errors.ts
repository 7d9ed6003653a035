/** The error texts that the modems use (3GPP TS 27.007, 9.2). */
const TEXTS: Readonly<Record<number, string>> = {
  3: 'operation not allowed',
  4: 'operation not supported',
  10: 'SIM not inserted',
  11: 'SIM PIN required',
  12: 'SIM PUK required',
  13: 'SIM failure',
  14: 'SIM busy',
  15: 'SIM wrong',
  16: 'incorrect password',
  30: 'no network service',
  50: 'incorrect parameters',
  100: 'unknown',
  148: 'unspecified GPRS error',
};

/** Formats an error result as `AT+CMEE` sets it: 0 plain, 1 the number, 2 the text. */
export function formatCme(code: number, mode: number): string {
  if (mode === 0) return 'ERROR';
  return `+CME ERROR: ${mode === 1 ? code : (TEXTS[code] ?? code)}`;
}
