import type { DeviceOutcome } from './outcome.js';

/** What an error code says on the wire, when it is the answer to a command. */
export interface WireForm<O extends DeviceOutcome | 'accepted' = DeviceOutcome | 'accepted'> {
  /** `accepted` is no outcome yet: the reply is still to come. */
  readonly outcome: O;
  /** JSON-RPC 2.0 §5.1: −32768…−32600 are the standard's own, −32099…−32000 are ours. */
  readonly jsonRpc: number;
  /** RFC 7252 §12.1.2. */
  readonly coap: `${4 | 5}.${string}`;
}

export interface ErrorEntry {
  readonly meaning: string;
  readonly remedy: string;
  readonly wire?: WireForm;
}

const refused = (jsonRpc: number, coap: WireForm['coap']): WireForm<'refused'> => ({
  outcome: 'refused',
  jsonRpc,
  coap,
});
const failed = (jsonRpc: number): WireForm<'failed'> => ({ outcome: 'failed', jsonRpc, coap: '5.00' });

/** Every error code of the project. Tests assert the code, never the prose; `docs/errors.md` is made from this. */
export const ERRORS = {
  'parse-error': {
    meaning: 'The datagram is in a known format, but cannot be parsed.',
    remedy: 'Check the quotes of a text command, the JSON, or the CBOR.',
    wire: refused(-32700, '4.00'),
  },
  'invalid-request': {
    meaning: 'The datagram parses, but is no request: a JSON-RPC member is missing or of the wrong type.',
    remedy: 'Send an object with a string `method`, and `params` that are an array or an object.',
    wire: refused(-32600, '4.00'),
  },
  'unknown-command': {
    meaning: 'No handler has this name on this device.',
    remedy: 'Send `commands` to see the names that the device knows.',
    wire: refused(-32601, '4.04'),
  },
  'bad-params': {
    meaning: 'The parameters do not fit what the handler declares.',
    remedy: 'Send `commands` to see the parameters of each command.',
    wire: refused(-32602, '4.00'),
  },
  'authentication-required': {
    meaning:
      'The command ends or changes the device, and its request is not authenticated: the device does not run it then.',
    remedy:
      'Where everybody who can send to the device may do this, set `security.unprotected: allow` in its configuration.',
    wire: refused(-32009, '4.01'),
  },
  busy: {
    meaning: 'Too many commands are running or waiting; this one was not run.',
    remedy: 'Send it again later, or raise `limits.running` and `limits.waiting`.',
    wire: refused(-32002, '5.03'),
  },
  expired: {
    meaning: 'The command’s deadline had passed when it could have run; it was not run.',
    remedy: 'Send it again with a later deadline; check the device’s clock with `health`.',
    wire: refused(-32005, '4.12'),
  },
  cancelled: {
    meaning: 'Somebody at the device cancelled the command before it ran.',
    remedy: 'Ask who looks after the device, and send it again.',
    wire: refused(-32006, '5.03'),
  },
  running: {
    meaning: 'The command has come before and is still running; its reply is still to come.',
    remedy: 'Wait for the reply.',
    wire: { outcome: 'accepted', jsonRpc: -32007, coap: '5.03' },
  },
  interrupted: {
    meaning: 'The agent or the device went down while the command ran; it may have had its effect.',
    remedy: 'Find out what the command has done before sending it again.',
    wire: { outcome: 'interrupted', jsonRpc: -32008, coap: '5.00' },
  },
  'internal-error': {
    meaning: 'The agent itself made a mistake while it handled the command.',
    remedy: 'Report it with the line of the agent’s log that names the command.',
    wire: failed(-32603),
  },
  'handler-failed': {
    meaning:
      'The handler ran and reported an error, its program ended with a code other than 0, or its service without `ok`.',
    remedy: 'Read the message: it is the handler’s own, the end of the program’s stderr, or of what the service wrote.',
    wire: failed(-32000),
  },
  'handler-timeout': {
    meaning: 'The handler did not finish in its time and was ended; it may have had an effect.',
    remedy: 'Raise `timeout` of the handler, or make it answer sooner.',
    wire: failed(-32001),
  },
  'bad-reply': {
    meaning: 'The handler ran, but what it returned cannot be written in the reply’s format.',
    remedy: 'Return strings, numbers, booleans, bytes, and arrays and plain objects of these.',
    wire: failed(-32003),
  },
  'reply-too-large': {
    meaning: 'The handler ran, but its reply is longer than a raw datagram can be.',
    remedy: 'Return at most 1300 bytes from a handler on a raw port.',
    wire: failed(-32004),
  },
  'config-unreadable': {
    meaning: 'The configuration file cannot be read, or is not YAML.',
    remedy: 'Check the path and its permissions; `sudo supersim-agent config check` shows the line.',
  },
  'config-invalid': {
    meaning: 'The configuration has an unknown key or a value out of its range.',
    remedy: 'Correct the line that is named; `supersim-agent config schema` prints what is allowed.',
  },
  'port-in-use': {
    meaning: 'Another process already listens on this address and port.',
    remedy: 'Find it with `ss -lunp` (UDP) or `ss -ltnp` (TCP) and stop it, or choose another port.',
  },
  'port-forbidden': {
    meaning: 'The system does not let this user listen on this port.',
    remedy: 'Choose a port of 1024 or above, or give the service CAP_NET_BIND_SERVICE.',
  },
  'modem-port-missing': {
    meaning: 'There is no serial port of this name, or it is something else than a serial port.',
    remedy: 'See what there is with `ls -l /dev/serial/by-id`, and correct `modem.path`; check cable and power.',
  },
  'modem-port-forbidden': {
    meaning: 'The system does not let this user open the modem’s serial port.',
    remedy:
      'Run it by a user of the group that owns the port (`ls -l DEVICE`). The service has the group dialout, and the drivers of its `DeviceAllow`: for others, `systemctl edit supersim-agent`.',
  },
  'modem-port-busy': {
    meaning: 'Another program has the modem’s serial port.',
    remedy: 'Stop the program that is named; `sudo fuser -v DEVICE` tells who has it.',
  },
  'modem-port-lost': {
    meaning: 'The modem’s serial port went away, or takes no more bytes; it is opened again.',
    remedy: 'If it goes on, check the cable, `modem.flowControl`, and in `dmesg` whether the modem gets enough power.',
  },
  'state-in-use': {
    meaning: 'Another agent uses the state folder; two would run the same commands again.',
    remedy: 'Stop it, or give this one a state folder of its own (`state.folder`).',
  },
  'handler-invalid': {
    meaning: 'A handler cannot be used: its definition or its module is wrong.',
    remedy: 'Correct it as the message says; the agent runs without it meanwhile.',
  },
  'program-unsafe': {
    meaning: 'A handler’s file or socket could be changed by users other than root and the agent’s own.',
    remedy: 'Run `chown root FILE` and `chmod go-w FILE`, and the same for the folders it lies in.',
  },
  'link-down': {
    meaning: 'There is no address to send from, or no route to the destination.',
    remedy: 'Check the cellular interface with `ip address` and `ip route get 100.64.0.1`.',
  },
  'modem-unknown': {
    meaning: 'Unsupported modem model.',
    remedy: 'Use one of the README’s table of modems, or name its dialect if it is one of them under another name.',
  },
  'modem-silent': {
    meaning: 'The modem does not answer, or did not answer this command in its time.',
    remedy: 'Find the port that takes AT commands with `supersim-agent modem probe`; check power and `modem.baudRate`.',
  },
  'modem-limit': {
    meaning: 'The datagram is longer than the modem’s own sockets can send.',
    remedy: 'Make the reply shorter, ask for it in CoAP blocks, or use a modem without this limit.',
  },
  'too-large': {
    meaning: 'The payload is longer than an IP Command can carry.',
    remedy: 'Send at most 1300 bytes of text or 975 of binary (`--size-limit` raises the latter to 1300).',
  },
  'bad-input': {
    meaning: 'An argument, a file or a variable has a value that cannot be used.',
    remedy: 'Correct the value that is named; `--help` shows what is expected.',
  },
  'no-credentials': {
    meaning: 'There are no API credentials.',
    remedy:
      'Set SUPERSIM_CLIENT_ID and SUPERSIM_CLIENT_SECRET (KORE), or SUPERSIM_ACCOUNT_SID and SUPERSIM_AUTH_TOKEN (Twilio), or write a profile file.',
  },
  'profile-unsafe': {
    meaning: 'The profile file with the credentials can be read by other users.',
    remedy: 'Run `chmod 600` on it.',
  },
  'unknown-error': {
    meaning: 'The device reported an error whose code is not in this list; the command may have run.',
    remedy: 'Read the message; the device may have a newer version than the sender.',
  },
  'no-answer': {
    meaning: 'Nothing that ends the command came back in its time; it may have run.',
    remedy: 'Ask the device what it did before sending a new command, or send it again if that does no harm.',
  },
  'canary-failed': {
    meaning: 'Too many of the SIMs that a broadcast began with are not done; the others were not asked.',
    remedy: 'Look at their outcomes; when the rest may follow, go on without it (`--resume FILE --no-canary`).',
  },
  'not-delivered': {
    meaning: 'The network did not send the command to the device.',
    remedy: 'Look whether the SIM is active and its device attached, then send it again.',
  },
  'given-up': {
    meaning: 'The caller stopped waiting for the command.',
    remedy: 'The outcome says whether it can have run; if so, ask the device before sending it again.',
  },
  'api-error': {
    meaning: 'The API answered with an error; nothing was sent.',
    remedy: 'Read the status, the vendor’s code and its link in the message.',
  },
  'api-invalid-response': {
    meaning: 'The API answered with something other than its documentation says.',
    remedy: 'Check the API address: a proxy or another service may be answering.',
  },
  'api-unreachable': {
    meaning: 'The API could not be reached; nothing was sent.',
    remedy: 'Check the API address, the network and the proxy.',
  },
  'api-unknown-fate': {
    meaning: 'The connection broke or timed out after the request had gone: the command may have been sent.',
    remedy: 'Look for it with `supersim list --direction to_sim` before sending again.',
  },
  'pty-missing': {
    meaning: 'The virtual modem needs a terminal, and the package @lydell/node-pty could not make one.',
    remedy: 'Install it with `npm install @lydell/node-pty`, without `--omit=optional`; it works on Linux and macOS.',
  },
  'probe-failed': {
    meaning: 'What was sent through the whole loop to try it did not come back.',
    remedy: 'Read which step is missing, and the agent’s log above it.',
  },
  'control-unreachable': {
    meaning: 'No agent answers on the control socket.',
    remedy: 'Start it with `systemctl start supersim-agent`, or name the socket of the one that runs with `--socket`.',
  },
  'control-forbidden': {
    meaning: 'The agent’s control socket is not open to this user.',
    remedy: 'Use sudo, or join the group that owns the socket (`usermod -a -G GROUP USER`, then log in again).',
  },
  'control-invalid-response': {
    meaning: 'What answers on the control socket does not speak as this version of the agent does.',
    remedy: 'Restart the agent if it was upgraded; check that `--socket` names its control socket.',
  },
  'no-journal': {
    meaning: 'The agent runs without a journal, and so remembers no commands.',
    remedy: 'Read in the agent’s log why the journal could not be opened.',
  },
  'no-modem': {
    meaning: 'The agent that runs uses no modem.',
    remedy: 'Configure `modem.path` and reload the agent, or name a serial port with `--path`.',
  },
  'no-such-command': {
    meaning: 'The agent’s journal has no command of this ID.',
    remedy: 'See the IDs with `supersim-agent commands ls`.',
  },
  'too-late': {
    meaning: 'The command has started or ended, and can no longer be cancelled.',
    remedy: 'See what became of it with `supersim-agent commands show ID`.',
  },
} as const satisfies Record<string, ErrorEntry>;

export type ErrorCode = keyof typeof ERRORS;

/** The codes that can be the answer to a command. */
export type WireCode = { [C in ErrorCode]: (typeof ERRORS)[C] extends { wire: WireForm } ? C : never }[ErrorCode];

/** The codes that a command can end with. */
export type FinalCode = Exclude<WireCode, 'running'>;

/** An error with a code from {@link ERRORS}. The message says what happened and to what; `remedy` what to do next. */
export class SupersimError<C extends ErrorCode = ErrorCode> extends Error {
  readonly code: C;
  readonly remedy: string;

  constructor(code: C, message: string, options: { cause?: unknown; remedy?: string } = {}) {
    super(message, 'cause' in options ? { cause: options.cause } : undefined);
    this.name = 'SupersimError';
    this.code = code;
    this.remedy = options.remedy ?? ERRORS[code].remedy;
  }
}

/** Tells whether an error is ours and, when `code` is given, of that code. Never throws, whatever was thrown. */
export function isSupersimError<C extends ErrorCode>(error: unknown, code?: C): error is SupersimError<C> {
  try {
    // Not by instanceof: the programs and the library are bundled apart, and each bundle has a class of its own.
    if (!(error instanceof Error) || !('code' in error) || !('remedy' in error)) return false;
    return code === undefined ? typeof error.code === 'string' && error.code in ERRORS : error.code === code;
  } catch {
    // A value thrown by a handler may be a proxy, or have getters that throw.
    return false;
  }
}

/** Returns the message of anything that was thrown. Never throws. */
export function messageOf(thrown: unknown): string {
  try {
    return String(thrown instanceof Error ? thrown.message || thrown.name : thrown);
  } catch {
    return 'an unprintable value was thrown';
  }
}

/** The `code` of a Node system error such as `EADDRINUSE`, if it has one. */
export function systemCodeOf(thrown: unknown): string | undefined {
  return thrown instanceof Error && 'code' in thrown && typeof thrown.code === 'string' ? thrown.code : undefined;
}
