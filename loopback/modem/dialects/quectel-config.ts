/** Interfaces that `AT+QURCCFG` can send URCs to. */
export const URC_PORTS = ['usbat', 'usbmodem', 'uart1', 'all'];

/** Those of `AT+QICFG` that only the EC200U has. */
export const EC200U_CONFIG = new Set([
  'sendinfo',
  'formatcfg',
  'close/mode',
  'qisend/timeout',
  'udp/readmode',
  'udp/sendmode',
]);

/** What `AT+QICFG` has after power-on. */
export const DEFAULT_CONFIG: readonly (readonly [string, string])[] = [
  ['dataformat', '0,0'],
  ['viewmode', '0'],
  ['recvind', '0'],
  ['transpktsize', '1024'],
  ['transwaittm', '2'],
  ['sendinfo', '0'],
  ['formatcfg', '0'],
  ['close/mode', '0'],
  // Seconds that the host may take for the bytes after the prompt.
  ['qisend/timeout', '5'],
  ['udp/readmode', '0'],
  ['udp/sendmode', '0'],
];

/** @param format `formatcfg` of the EC200U */
export const promptFor = (isEc200u: boolean, format: string | undefined): string => {
  if (!isEc200u) return '\r\n> ';
  return format === '1' ? '\r\n>\r\n' : '\r\n>';
};
