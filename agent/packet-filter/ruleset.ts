/** The nftables table that only the cellular interface passes, as `supersim-agent secure` writes it: nft(8). */

/** The table's family and name. */
export const TABLE = 'inet supersim_agent';
/** The unit that loads the rules at each boot, before the agent. */
export const RULES_UNIT = 'supersim-agent-interface.service';
export const RULES_FILE = '/etc/supersim-agent/interface.nft';
/** The unit's copy of the rules that it has loaded. It goes when the unit stops, and so with each boot. */
export const LOADED_FILE = '/run/supersim-agent-interface/loaded.nft';

/** Declaring the table before it is deleted makes this succeed whether it exists or not. */
export const DELETE_TABLE = `table ${TABLE}; delete table ${TABLE}`;

/** What the rules are for. */
export interface RuleSettings {
  /** The only interface that reaches the device ports. */
  readonly interface: string;
  /** The device ports, in rising order. */
  readonly ports: readonly number[];
}

/**
 * Whether a text can be the name of an interface in the rules. The kernel takes at most 15 bytes; of the characters
 * that it allows, nft reads `*` as a wildcard and `"` as an end. The loopback interface is where local users send.
 */
export const isInterfaceName = (name: string): boolean =>
  /^[A-Za-z0-9_][A-Za-z0-9_.-]{0,14}$/.test(name) && !['lo', 'auto', 'all', 'default'].includes(name);

/**
 * Returns the rules as a file for `nft -f`, which applies it as a whole or not at all: the table is replaced, and no
 * datagram passes in between. Names (`iifname`), unlike indices (`iif`), still match when the interface comes back
 * after the modem was re-enumerated.
 *
 * Local datagrams to the SIM's own address arrive by `lo`, so they are dropped too. A drop is final, whatever other
 * tables accept, and the hook `input` comes after any change of the destination (`dnat`), so the priority does not
 * matter. Forwarded datagrams pass neither hook.
 */
export function formatRuleset({ interface: name, ports }: RuleSettings): string {
  const set = `{ ${ports.join(', ')} }`;
  return `# Only ${name} reaches the device ports of supersim-agent: datagrams by other interfaces, and from this host itself,
# are dropped. Written by \`supersim-agent secure\`; loaded by ${RULES_UNIT}.
table ${TABLE}
delete table ${TABLE}
table ${TABLE} {
	chain input {
		type filter hook input priority filter - 10; policy accept;
		iifname != "${name}" udp dport ${set} counter drop
	}
	chain output {
		type filter hook output priority filter - 10; policy accept;
		oifname != "${name}" udp sport ${set} counter drop
	}
}
`;
}

/** Reads a file that {@link formatRuleset} wrote. @returns undefined for any other text */
export function parseRuleset(text: string): RuleSettings | undefined {
  const [, name = '', list = ''] = /iifname != "([^"]*)" udp dport \{ ([\d, ]+) \}/.exec(text) ?? [];
  const settings = { interface: name, ports: list.split(', ').map(Number) };
  return isInterfaceName(name) && formatRuleset(settings) === text ? settings : undefined;
}

/** Returns the settings for these device ports. */
export const rulesFor = (name: string, listened: readonly { readonly port: number }[]): RuleSettings => ({
  interface: name,
  ports: listened.map(({ port }) => port).sort((one, other) => one - other),
});
