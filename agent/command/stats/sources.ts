import { rangeOfAddress } from '../../transport/endpoint.js';

/** How many of the last commands are looked back at. */
const MAX_COMMANDS = 1000;
/** Most addresses that are told apart. Whoever has many addresses cannot make the list grow. */
const MAX_SOURCES = 64;
/** A longer `allow` is not suggested. */
const MAX_SUGGESTED = 16;

/** Where the last commands came from. */
export interface CommandSources {
  /** Source addresses with the number of their commands, the most frequent first. */
  readonly addresses: readonly { readonly address: string; readonly commands: number }[];
  /** Commands of further addresses. */
  readonly others: number;
}

/** Remembers the source addresses of the last 1,000 commands. */
export function createSources() {
  /** A ring; undefined for an address that is not told apart. */
  const last: (string | undefined)[] = [];
  let next = 0;
  const counts = new Map<string, number>();
  return {
    add(address: string): void {
      if (last.length === MAX_COMMANDS) forget(last[next]);
      const isKnown = counts.has(address) || counts.size < MAX_SOURCES;
      if (isKnown) counts.set(address, (counts.get(address) ?? 0) + 1);
      last[next] = isKnown ? address : undefined;
      next = (next + 1) % MAX_COMMANDS;
    },
    list(): CommandSources {
      const addresses = [...counts].map(([address, commands]) => ({ address, commands }));
      addresses.sort((one, other) => other.commands - one.commands);
      return { addresses, others: last.filter((address) => address === undefined).length };
    },
  };

  function forget(address: string | undefined): void {
    if (address === undefined) return;
    const count = counts.get(address) ?? 0;
    if (count > 1) counts.set(address, count - 1);
    else counts.delete(address);
  }
}

/**
 * Returns the line of the configuration that admits only these addresses, such as `allow: [100.64.0.1/32]`; undefined
 * when there are none, or too many.
 */
export function narrowAllow({ addresses, others }: CommandSources): string | undefined {
  if (addresses.length === 0 || addresses.length > MAX_SUGGESTED || others > 0) return undefined;
  return `allow: [${addresses.map(({ address }) => rangeOfAddress(address)).join(', ')}]`;
}

/** Lists the addresses with their numbers of commands, in one line for `status` and the doctor. */
export function describeSources({ addresses, others }: CommandSources): string {
  if (addresses.length === 0 && others === 0) return 'none';
  const named = addresses.slice(0, MAX_SUGGESTED);
  const rest = addresses.slice(MAX_SUGGESTED).reduce((sum, { commands }) => sum + commands, others);
  const listed = named.map(({ address, commands }) => `${address} (${commands})`);
  return [...listed, ...(rest > 0 ? [`others (${rest})`] : [])].join(', ');
}
