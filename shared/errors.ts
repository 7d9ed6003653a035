import type { DeviceOutcome } from './outcome.js';

/** The form of an error code on the wire, when it answers a command. */
export interface WireForm<O extends DeviceOutcome | 'accepted' = DeviceOutcome | 'accepted'> {
  /** `accepted` is not an outcome: the reply follows later. */
  readonly outcome: O;
  /** JSON-RPC 2.0 §5.1: −32768…−32600 are defined by the standard, −32099…−32000 by this project. */
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

/** Every error code of the project. Tests assert the code, never the text; `docs/errors.md` is generated from it. */
export const ERRORS = {
  'parse-error': {
    meaning: 'The datagram has a known format, but cannot be parsed.',
    remedy: 'Check the quotes of a text command, the JSON, or the CBOR.',
    wire: refused(-32700, '4.00'),
  },
  'invalid-request': {
    meaning: 'The datagram was parsed, but is not a request: a JSON-RPC member is missing or has the wrong type.',
    remedy: 'Send an object with a string `method`, and `params` that are an array or an object.',
    wire: refused(-32600, '4.00'),
  },
  'unknown-command': {
    meaning: 'No handler on this device has this name.',
    remedy: 'Send `commands` to list the device’s commands.',
    wire: refused(-32601, '4.04'),
  },
  'bad-params': {
    meaning: 'The parameters do not match the handler’s declaration.',
    remedy: 'Send `commands` to list the parameters of each command.',
    wire: refused(-32602, '4.00'),
  },
  'authentication-required': {
    meaning:
      'The request is not protected with a key of the device, which takes no others, or none for this command; it was not run.',
    remedy:
      'Protect it with a key. If everyone who can send to the device may do this, see `security.except` and `security.unprotected` in its configuration.',
    wire: refused(-32009, '4.01'),
  },
  forbidden: {
    meaning: 'The key with which the request is protected may not call this command; it was not run.',
    remedy: 'Use another key, or add the command to `allow` in the key’s file on the device.',
    wire: refused(-32011, '4.03'),
  },
  busy: {
    meaning:
      'Too many commands are running or waiting, the device has no file descriptors, processes or memory left to start the handler’s program, or the journal cannot record this one: its disk is full, read-only or fails. With an id and without a mark, it has not run and never will. Marked as not recorded, it is not known whether an earlier copy has run, and a later one may run: the outcome is `no-answer`.',
    remedy:
      'Send it again later. On the device, raise `limits.running` and `limits.waiting`, raise the limit that the message names (`LimitNOFILE=` or `TasksMax=` of the service), or see `supersim-agent doctor` for the disk and the journal.',
    wire: refused(-32002, '5.03'),
  },
  'handler-unavailable': {
    meaning:
      'The handler’s program or service could not be started, so nothing of it ran: it is missing, not executable, or can be changed by other users, its interpreter or working directory is missing, or nobody listens on its socket.',
    remedy:
      'Correct what the message names, on the device, and send it again; `supersim-agent try` tells whether it runs.',
    wire: refused(-32010, '5.03'),
  },
  expired: {
    meaning: 'The command’s deadline passed before it could run; it was not run.',
    remedy: 'Send it again with a later deadline; check the device’s clock with `health`.',
    wire: refused(-32005, '4.12'),
  },
  cancelled: {
    meaning: 'The command was cancelled at the device before it ran.',
    remedy: 'Ask the device’s operator, then send it again.',
    wire: refused(-32006, '5.03'),
  },
  running: {
    meaning: 'The command was received before and is still running; its reply follows later.',
    remedy: 'Wait for the reply.',
    wire: { outcome: 'accepted', jsonRpc: -32007, coap: '5.03' },
  },
  interrupted: {
    meaning:
      'The agent or the device stopped while the command ran, or the device lost its record of commands; it may have taken effect.',
    remedy: 'Check whether the command took effect before sending it again.',
    wire: { outcome: 'interrupted', jsonRpc: -32008, coap: '5.00' },
  },
  'internal-error': {
    meaning: 'Internal error of the agent while it handled the command.',
    remedy: 'Report it with the line of the agent’s log that names the command.',
    wire: failed(-32603),
  },
  'handler-failed': {
    meaning:
      'The handler ran and reported an error: its program exited with a code other than 0, or its service ended without `ok`.',
    remedy: 'Read the message: it is the handler’s own, or the end of the program’s stderr or of the service’s output.',
    wire: failed(-32000),
  },
  'handler-timeout': {
    meaning: 'The handler exceeded its timeout and was stopped; it may have taken effect.',
    remedy: 'Raise the handler’s `timeout`, or make it answer sooner.',
    wire: failed(-32001),
  },
  'bad-reply': {
    meaning: 'The handler ran, but its result cannot be encoded in the reply’s format.',
    remedy: 'Return strings, numbers, booleans, bytes, or arrays and plain objects of these.',
    wire: failed(-32003),
  },
  'reply-too-large': {
    meaning: 'The handler ran, but its reply is longer than a raw datagram.',
    remedy: 'Return at most 1300 bytes from a handler on a raw port.',
    wire: failed(-32004),
  },
  'config-unreadable': {
    meaning: 'The configuration file cannot be read, or is not YAML.',
    remedy: 'Check the path and its permissions; `sudo supersim-agent config check` shows the line.',
  },
  'config-invalid': {
    meaning: 'The configuration has an unknown key or an invalid value.',
    remedy: 'Correct the line in the message; `supersim-agent config schema` prints what is allowed.',
  },
  'port-in-use': {
    meaning: 'Another process already listens on this address and port.',
    remedy: 'Find it with `ss -lunp` (UDP) or `ss -ltnp` (TCP) and stop it, or choose another port.',
  },
  'port-forbidden': {
    meaning: 'This user is not permitted to listen on this port.',
    remedy: 'Choose a port of 1024 or above, or give the service CAP_NET_BIND_SERVICE.',
  },
  'modem-port-missing': {
    meaning: 'The modem’s serial port does not exist, or is not a serial port.',
    remedy: 'List the ports with `ls -l /dev/serial/by-id`, and correct `modem.path`; check cable and power.',
  },
  'modem-port-forbidden': {
    meaning: 'This user is not permitted to open the modem’s serial port.',
    remedy:
      'Run it as a user of the group that owns the port (`ls -l DEVICE`). The service has the group dialout, and the drivers of its `DeviceAllow`: for others, `systemctl edit supersim-agent`.',
  },
  'modem-port-busy': {
    meaning: 'Another program has the modem’s serial port open.',
    remedy: 'Stop the program in the message; `sudo fuser -v DEVICE` shows which one it is.',
  },
  'modem-port-lost': {
    meaning: 'The modem’s serial port disappeared or accepts no bytes; the agent reopens it.',
    remedy: 'If it recurs, check the cable and `modem.flowControl`, and in `dmesg` whether the modem has enough power.',
  },
  'state-in-use': {
    meaning: 'Another process has the journal in the state folder open; with two agents a command could run twice.',
    remedy: 'Stop the process in the message, or configure another `state.folder`.',
  },
  'handler-invalid': {
    meaning: 'A handler cannot be loaded: its definition or its module is invalid.',
    remedy: 'Correct it as the message says; until then the agent runs without it.',
  },
  'key-invalid': {
    meaning: 'A key file cannot be used; the agent runs without it, and takes no unprotected requests.',
    remedy: 'Correct or remove what the message names, then `supersim-agent reload`.',
  },
  'key-unsafe': {
    meaning: 'Users other than root and the agent’s can read or change a key file, or the folder of the keys.',
    remedy:
      'Run `chown root:supersim-agent FILE` and `chmod 640 FILE`. Who has read the key must be assumed to use it: replace it.',
  },
  'numbers-unavailable': {
    meaning:
      'Nothing can be protected now: the device’s sequence numbers are lost until its clock is synchronised, or cannot be stored.',
    remedy: 'See `supersim-agent doctor` for the clock and the disk.',
  },
  'program-unsafe': {
    meaning: 'A handler’s file or socket can be changed by users other than root and the agent’s.',
    remedy: 'Run `chown root FILE` and `chmod go-w FILE`, also for its parent folders.',
  },
  'link-down': {
    meaning: 'No address to send from, or no route to the destination.',
    remedy: 'Check the cellular interface with `ip address` and `ip route get 100.64.0.1`.',
  },
  'rate-limited': {
    meaning: 'More messages were to be sent to the network than its limit for an hour allows; this one was not sent.',
    remedy:
      'Send fewer events, or raise `limits.fromSimPerHour` in the device’s configuration: each message is billed.',
  },
  'root-required': {
    meaning: 'Only root may do this.',
    remedy: 'Run it with sudo.',
  },
  'interface-unknown': {
    meaning: 'No interface is known to be the cellular one, or several are.',
    remedy: 'Name it with `--interface`; `ip -brief link` lists all interfaces.',
  },
  'nft-missing': {
    meaning: 'The program nft, which sets the rules of the packet filter, is not installed.',
    remedy: 'Install it: `sudo apt install nftables`.',
  },
  'unit-missing': {
    meaning: 'The unit that loads the rules at each boot is not installed, or systemd does not run.',
    remedy: 'Install the Debian package, or the files of `systemd/` as described in the README.',
  },
  'rules-not-loaded': {
    meaning: 'The rules for the cellular interface could not be loaded: datagrams from elsewhere still arrive.',
    remedy: 'Read the message and `systemctl status supersim-agent-interface`; the kernel needs nf_tables.',
  },
  'modem-unknown': {
    meaning: 'Unsupported modem model.',
    remedy: 'Use a modem of the README’s table, or set `modem.dialect` if it is one of them under another name.',
  },
  'modem-silent': {
    meaning: 'The modem does not answer, or did not answer this command in time.',
    remedy: 'Find the port for AT commands with `supersim-agent modem probe`; check power and `modem.baudRate`.',
  },
  'modem-limit': {
    meaning: 'The datagram is longer than the modem’s sockets can send.',
    remedy: 'Shorten the reply, request it in CoAP blocks, or use a modem without this limit.',
  },
  'too-large': {
    meaning: 'The payload is longer than an IP Command can carry.',
    remedy: 'Send at most 1300 bytes of text or 975 of binary (`--size-limit` raises the latter to 1300).',
  },
  'bad-input': {
    meaning: 'An argument, a file or a variable has an invalid value.',
    remedy: 'Correct the value in the message; `--help` shows what is expected.',
  },
  'no-credentials': {
    meaning: 'No API credentials were found.',
    remedy:
      'Set SUPERSIM_CLIENT_ID and SUPERSIM_CLIENT_SECRET (KORE), or SUPERSIM_ACCOUNT_SID and SUPERSIM_AUTH_TOKEN (Twilio), or write a profile file.',
  },
  'profile-unsafe': {
    meaning: 'Other users can read the profile file with the credentials.',
    remedy: 'Run `chmod 600` on the file.',
  },
  'key-required': {
    meaning: 'The SIM has a key, and this would be sent to it unprotected; nothing was sent.',
    remedy:
      'Use `supersim request`, without `--format`: CoAP is what can be protected. To a port of the device that takes unprotected commands, `supersim send --unprotected`.',
  },
  'key-revoked': {
    meaning: 'The SIM’s key was revoked, and it has no other; nothing was sent.',
    remedy: 'Give its device a new key: `supersim keys device` makes the file.',
  },
  'keys-copied': {
    meaning:
      'The file with the keys was copied or moved from another machine or folder. Two copies would use the same sequence numbers, which exposes what they protect: nothing is protected with this one.',
    remedy: 'Run `supersim keys operator --new` here, and give the devices the new key files; or use the original.',
  },
  'keys-unusable': {
    meaning: 'The file with the keys cannot be read or written, or is damaged; nothing was sent.',
    remedy:
      'Check the path in the message, its permissions and whether its disk is full; else restore it from a backup.',
  },
  'unknown-error': {
    meaning: 'The device reported an unknown error code; the command may have run.',
    remedy: 'Read the message; the device may run a newer version than the sender.',
  },
  'no-answer': {
    meaning: 'No answer arrived in time; the command may have run.',
    remedy: 'Check whether the command took effect before sending it again, unless it may run twice.',
  },
  'canary-failed': {
    meaning: 'Too many canary SIMs of a broadcast are not done; the others were not asked.',
    remedy: 'Check their outcomes; to ask the others anyway, resume with `--resume FILE --no-canary`.',
  },
  'not-delivered': {
    meaning: 'The network did not send the command to the device.',
    remedy: 'Check that the SIM is active and its device attached, then send it again.',
  },
  'given-up': {
    meaning: 'The caller stopped waiting for the command.',
    remedy: 'The outcome says whether it may have run; if so, check before sending it again.',
  },
  'api-error': {
    meaning: 'The API answered with an error; nothing was sent.',
    remedy: 'Read the status, the vendor’s code and its link in the message.',
  },
  'api-invalid-response': {
    meaning: 'The API’s answer is not as documented.',
    remedy: 'Check the API address: a proxy or another service may be answering.',
  },
  'api-unreachable': {
    meaning: 'The API could not be reached; nothing was sent.',
    remedy: 'Check the API address, the network and the proxy.',
  },
  'api-unknown-fate': {
    meaning: 'The connection broke or timed out after the request was sent: the command may have been accepted.',
    remedy: 'Look for it with `supersim list --direction to_sim` before sending it again.',
  },
  'pty-missing': {
    meaning: 'The virtual modem needs a pseudo-terminal, and the package @lydell/node-pty could not open one.',
    remedy: 'Install it with `npm install @lydell/node-pty`, without `--omit=optional`; it works on Linux and macOS.',
  },
  'probe-failed': {
    meaning: 'The probe that was sent through the whole loop did not come back.',
    remedy: 'Check which step is missing, and read the agent’s log.',
  },
  'control-unreachable': {
    meaning: 'No agent answers on the control socket.',
    remedy: 'Start it with `systemctl start supersim-agent`, or name the running agent’s socket with `--socket`.',
  },
  'control-forbidden': {
    meaning: 'This user is not permitted to use the agent’s control socket.',
    remedy: 'Use sudo, or add the user to the socket’s group (`usermod -a -G GROUP USER`, then log in again).',
  },
  'control-invalid-response': {
    meaning: 'The answer on the control socket is not one of this version of the agent.',
    remedy: 'Restart the agent if it was upgraded; check that `--socket` names its control socket.',
  },
  'no-journal': {
    meaning: 'The agent runs without a journal, so it has no record of commands.',
    remedy: 'Read the agent’s log for why the journal could not be opened.',
  },
  'no-modem': {
    meaning: 'The running agent uses no modem.',
    remedy: 'Configure `modem.path` and reload the agent, or name a serial port with `--path`.',
  },
  'no-such-command': {
    meaning: 'The agent’s journal has no command with this ID, or remembers only its outcome.',
    remedy: 'List the IDs with `supersim-agent commands ls`.',
  },
  'too-late': {
    meaning: 'The command has started or ended, and can no longer be cancelled.',
    remedy: 'Show its outcome with `supersim-agent commands show ID`.',
  },
} as const satisfies Record<string, ErrorEntry>;

export type ErrorCode = keyof typeof ERRORS;

/** The codes that can answer a command. */
export type WireCode = { [C in ErrorCode]: (typeof ERRORS)[C] extends { wire: WireForm } ? C : never }[ErrorCode];

/** The codes that can end a command. */
export type FinalCode = Exclude<WireCode, 'running'>;

const ENTRIES: Readonly<Record<string, ErrorEntry>> = ERRORS;

const isFinalCode = (code: string): code is FinalCode => ENTRIES[code]?.wire !== undefined && code !== 'running';

export const FINAL_CODES: readonly FinalCode[] = Object.keys(ERRORS).filter(isFinalCode);

/** An error with a code from {@link ERRORS}. The message says what happened, and `remedy` what to do. */
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

/** Returns the `code` of a Node system error, such as `EADDRINUSE`. */
export function systemCodeOf(thrown: unknown): string | undefined {
  return thrown instanceof Error && 'code' in thrown && typeof thrown.code === 'string' ? thrown.code : undefined;
}
