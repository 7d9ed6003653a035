import type { Moment } from '../../base/moment.js';
import type { Database } from '../../storage/database.js';
import { DamagedError } from '../../storage/sqlite.js';
import type { JournalEntry } from './entry.js';
import {
  addIdentity,
  createGroup,
  type Ended,
  GROUP_SIZE,
  type Identity,
  type IdentityGroup,
  identityAt,
  keyAt,
  readGroup,
  writeGroup,
} from './identities.js';
import { createKeyIndex } from './key-index.js';
import {
  BY_NUMBER,
  IDENTITIES_AT,
  insertIdentities,
  parseIdentitiesRow,
  parseRows,
  removeIdentities,
  removeRows,
} from './rows.js';

/** What is known of an ended command: all of it, or only its identity. */
export type Remembered = { readonly entry: JournalEntry } | { readonly identity: Identity } | 'lost';

/**
 * Identities of commands that ended one after the other. Until it is packed, each of its commands also has a row with
 * its reply.
 */
interface Group {
  readonly first: number;
  finished: Moment;
  lifetimeMs: number;
  readonly hashes: number[];
  /** The identities, while the commands have rows; then they are on the disk only. */
  identities: IdentityGroup | undefined;
  /** The rows of its commands. */
  seqs: number[];
  /** Size of these rows. */
  bytes: number;
  /** Whether the disk has lost it. */
  isLost: boolean;
}

/**
 * Remembers the commands that have ended, in the order of their ends. The newest have their rows with their replies; of
 * older ones the rows are replaced by a packed group of identities. In memory each takes a few bytes.
 */
export function createRemembered(database: Database) {
  let index = createKeyIndex();
  let groups: Group[] = [];
  let next = 0;
  const whole = { count: 0, bytes: 0 };

  database.onFresh((run) => {
    for (const group of groups) {
      const { identities } = group;
      if (identities === undefined) group.isLost = true;
      else {
        insertIdentities(run, group.first, writeGroup(identities));
        forgetRows(group);
      }
    }
  });

  function forgetRows(group: Group): void {
    whole.count -= group.seqs.length;
    whole.bytes -= group.bytes;
    group.seqs = [];
    group.bytes = 0;
  }

  function keepRows(group: Group, seqs: number[], bytes: number): void {
    group.seqs = seqs;
    group.bytes = bytes;
    whole.count += seqs.length;
    whole.bytes += bytes;
  }

  /** Remembers a command whose end is on the disk. */
  function add(ended: Ended): void {
    const { seq, key, finished, bytes } = ended;
    let group = groups.at(-1);
    if (group?.identities === undefined || group.hashes.length === GROUP_SIZE || group.seqs.length === 0) {
      const identities = createGroup(next, finished);
      group = openGroup(identities, identities);
    }
    const { identities } = group;
    if (identities === undefined) return;
    addIdentity(identities, ended);
    group.finished = finished;
    group.lifetimeMs = identities.lifetimeMs;
    group.seqs.push(seq);
    group.bytes += bytes;
    addKey(group, key);
    whole.count++;
    whole.bytes += bytes;
  }

  function addKey(group: Group, key: Uint8Array): void {
    const hash = index.hashOf(key);
    index.add(hash, next >>> 0);
    group.hashes.push(hash);
    next++;
  }

  /** Remembers a group of identities of an earlier run of the agent; in the order of their numbers. */
  function addGroup(identities: IdentityGroup): void {
    next = identities.first;
    const group = openGroup(identities, undefined);
    for (let at = 0; at < identities.count; at++) addKey(group, keyAt(identities, at));
  }

  /** @param identities undefined when they are on the disk only */
  function openGroup({ first, finished, lifetimeMs }: IdentityGroup, identities: IdentityGroup | undefined): Group {
    const group = { first, finished, lifetimeMs, hashes: [], identities, seqs: [], bytes: 0, isLost: false };
    groups.push(group);
    return group;
  }

  /** Returns the numbers of the commands with this key, perhaps, that have ended; without reading. */
  const numbersOf = (key: Uint8Array): readonly number[] => index.find(index.hashOf(key));

  /** Looks a command up. @throws (rejects) SupersimError `busy`; DamagedError */
  async function find(key: Uint8Array): Promise<Remembered | undefined> {
    for (const number of numbersOf(key)) {
      const found = await findAt(number, key);
      if (found !== undefined) return found;
    }
    return undefined;
  }

  async function findAt(number: number, key: Uint8Array): Promise<Remembered | undefined> {
    const group = groupOf(number);
    if (group === undefined) return undefined;
    const at = (number - group.first) >>> 0;
    const { identities } = group;
    if (identities !== undefined) {
      if (!keyAt(identities, at).equals(key)) return undefined;
      const identity = identityAt(identities, at);
      const seq = group.seqs[at];
      if (seq === undefined) return { identity };
      const [row] = parseRows(await database.read(BY_NUMBER, [seq]));
      // Meanwhile its row may have been replaced by its identity.
      return row !== undefined && Buffer.compare(row.entry.command.key, key) === 0 ? row : { identity };
    }
    // Which of the keys with this hash it was is not known any more.
    if (group.isLost) return 'lost';
    const [row] = await database.read(IDENTITIES_AT, [group.first]);
    if (row === undefined) return group.isLost ? 'lost' : undefined;
    const { first, record } = parseIdentitiesRow(row);
    const packed = readGroup(first, record);
    if (at >= packed.count) throw new DamagedError('a group of identities is shorter than it was');
    return keyAt(packed, at).equals(key) ? { identity: identityAt(packed, at) } : undefined;
  }

  function groupOf(number: number): Group | undefined {
    // The index has the last 32 bits of a number.
    const wanted = next - ((next - number) >>> 0);
    let low = 0;
    for (let high = groups.length; high - low > 1; ) {
      const middle = (low + high) >>> 1;
      if ((groups[middle]?.first ?? 0) <= wanted) low = middle;
      else high = middle;
    }
    const group = groups[low];
    return group !== undefined && wanted >= group.first && wanted < group.first + group.hashes.length
      ? group
      : undefined;
  }

  /** Replaces the rows of the oldest group that has any by its identities. @returns false when there is none */
  function packOldest(): boolean {
    const group = groups.find(({ seqs }) => seqs.length > 0);
    const identities = group?.identities;
    if (group === undefined || identities === undefined) return false;
    const { seqs, first, bytes } = group;
    // From now on a command that ends opens another group.
    forgetRows(group);
    database.write(
      (run) => {
        insertIdentities(run, first, writeGroup(identities));
        removeRows(run, seqs, database.lastCount);
      },
      (error) => {
        if (error === undefined) group.identities = undefined;
        else keepRows(group, seqs, bytes);
      },
    );
    return true;
  }

  /** Forgets the oldest group, if it may be forgotten. @returns whether it was */
  function forgetOldest(mayGo: (group: Pick<Group, 'finished' | 'lifetimeMs'>) => boolean): boolean {
    const [group] = groups;
    if (group === undefined || !mayGo(group)) return false;
    remove(group);
    groups.shift();
    return true;
  }

  function remove(group: Group): void {
    const { seqs, first, hashes } = group;
    forgetRows(group);
    database.write(
      (run) => {
        removeIdentities(run, first);
        removeRows(run, seqs, database.lastCount);
      },
      // What stays on the disk is forgotten after the next start.
      () => undefined,
    );
    hashes.forEach((hash, at) => {
      index.remove(hash, (first + at) >>> 0);
    });
  }

  return {
    add,
    addGroup,
    numbersOf,
    find,
    packOldest,
    forgetOldest,
    /** Forgets everything, in memory only. */
    clear(): void {
      groups = [];
      index = createKeyIndex();
      whole.count = 0;
      whole.bytes = 0;
    },
    /** The commands that have their rows, and the size of these. */
    whole,
    get count() {
      return index.size;
    },
  };
}

export type RememberedCommands = ReturnType<typeof createRemembered>;
