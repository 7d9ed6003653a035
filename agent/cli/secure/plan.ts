import { isIP } from 'node:net';
import { SupersimError } from '../../../shared/errors.js';
import type { Config } from '../../config/schema.js';
import {
  formatRuleset,
  isInterfaceName,
  RULES_FILE,
  RULES_UNIT,
  type RuleSettings,
  rulesFor,
} from '../../packet-filter/ruleset.js';

/** What is known of the device's interfaces. */
export interface Interfaces {
  readonly all: readonly string[];
  readonly cellular: readonly string[];
}

/** What `secure` would do. */
export interface Plan {
  readonly settings: RuleSettings;
  /** The text of {@link RULES_FILE}. */
  readonly rules: string;
  /** What the operator has to know besides. */
  readonly warnings: readonly string[];
}

/** Files of a plan are written first, then these programs run. */
export const APPLY: readonly (readonly string[])[] = [
  ['systemctl', 'enable', RULES_UNIT],
  // Replaces the rules at once where others are loaded.
  ['systemctl', 'reload-or-restart', RULES_UNIT],
];

/** @throws SupersimError `bad-input`, `interface-unknown` */
export function planRules(named: string | undefined, config: Config, interfaces: Interfaces): Plan {
  const name = chooseInterface(named, config, interfaces.cellular);
  const settings = rulesFor(name, config.listen.ports);
  return { settings, rules: formatRuleset(settings), warnings: warningsOf(name, config, interfaces) };
}

/** Returns the interface that is named, configured, or the only cellular one; in this order. */
function chooseInterface(named: string | undefined, config: Config, cellular: readonly string[]): string {
  const name = named ?? configuredInterface(config);
  if (name !== undefined) {
    if (isInterfaceName(name)) return name;
    throw new SupersimError('bad-input', `\`${name}\` cannot be the name of a cellular interface`, {
      remedy: 'Give a name such as wwan0: at most 15 letters, digits, `_`, `.` and `-`; not `lo`.',
    });
  }
  const [only, ...more] = cellular;
  if (only === undefined) throw new SupersimError('interface-unknown', 'no interface is known to be cellular');
  if (more.length === 0) return only;
  throw new SupersimError('interface-unknown', `several interfaces are cellular: ${cellular.join(', ')}`);
}

function configuredInterface({ link, listen }: Config): string | undefined {
  const isName = listen.address !== 'auto' && isIP(listen.address) === 0;
  return link.interface ?? (isName ? listen.address : undefined);
}

function warningsOf(name: string, config: Config, { all, cellular }: Interfaces): string[] {
  const configured = configuredInterface(config);
  const warnings: string[] = [];
  if (!all.includes(name)) warnings.push(`${name} does not exist now: the rules are for when it does.`);
  if (configured !== undefined && configured !== name) {
    warnings.push(`the configuration has ${configured}: commands by that interface are dropped. Correct one of both.`);
  }
  if (configured === undefined && config.listen.address === 'auto' && all.includes(name) && !cellular.includes(name)) {
    warnings.push(`the agent does not know that ${name} is cellular: set \`link.interface: ${name}\`.`);
  }
  if (config.link.policy === 'modem') warnings.push('the agent uses only the modem: it opens none of these ports.');
  return warnings;
}

/** Describes what would be done, with the whole file. */
export const formatPlan = ({ rules }: Plan): string =>
  `Would write ${RULES_FILE} (root:root, mode 644):

${rules}
Would run:

${APPLY.map((command) => `  ${command.join(' ')}`).join('\n')}
`;

/** Describes what `--undo` would do. */
export const formatUndo = (): string =>
  `Would run:

  systemctl disable --now ${RULES_UNIT}

Would delete the table from the packet filter, and ${RULES_FILE}.
`;
