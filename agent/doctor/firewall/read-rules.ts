import { runProgram } from '../run-program.js';
import { fromJson } from '../systemd-unit.js';
import { parseIptables } from './iptables.js';
import { parseNft } from './nft.js';
import type { Chain } from './rules.js';

const MAX_BYTES = 8 * 1024 * 1024;

/** The rules of the packet filter. */
export interface ReadRules {
  /** The program that listed them. */
  readonly source: string;
  /** The rules, or why they could not be listed. */
  readonly chains: readonly Chain[] | string;
}

/** Lists all rules. Prefers nft: its ruleset includes what iptables-nft writes. Needs root. */
export async function readRules(): Promise<ReadRules> {
  const nft = await runProgram('nft', ['-j', 'list', 'ruleset'], { maxBytes: MAX_BYTES });
  if (nft.failed === undefined) {
    const chains = parseNft(fromJson(nft.stdout));
    return { source: 'nft list ruleset', chains: chains ?? 'the output of nft is not a ruleset' };
  }
  if (nft.missing === undefined) return { source: 'nft list ruleset', chains: nft.failed };
  const saved = await runProgram('iptables-save', []);
  const source = 'iptables-save';
  if (saved.failed === undefined) return { source, chains: parseIptables(saved.stdout) };
  const chains = saved.missing ? 'neither nft nor iptables-save is installed' : saved.failed;
  return { source: saved.missing ? 'packet filter' : source, chains };
}
