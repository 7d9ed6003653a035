import { isSupersimError, SupersimError } from '../../../shared/errors.js';
import { ageOf, type Clock } from '../../base/moment.js';
import { createRecentShares } from '../../base/shares.js';
import type { Database, WriteCallback } from '../../storage/database.js';
import { DamagedError } from '../../storage/sqlite.js';
import { createDamageGuard } from './damage.js';
import {
  acceptedEntry,
  type Ending,
  endedEntry,
  isLive,
  type JournalCommand,
  type JournalEntry,
  type Row,
  startedEntry,
} from './entry.js';
import { createLiveCommands, endedOf, type LiveCommand, reservedFor } from './live-commands.js';
import { type Loaded, loadJournal } from './load.js';
import { createLookups, type Doubt, type Wanted } from './lookups.js';
import { decideRecovery, isEvictable, isForgotten } from './policy.js';
import { createRemembered, type Remembered } from './remembered.js';
import { BY_NUMBER, NEWEST_FIRST, parseRows, removeEnded, removeRows, updateRow } from './rows.js';
import {
  type Found,
  JOURNAL_LIMITS,
  type Journal,
  type JournalLimits,
  type Recovered,
  type TellEnding,
} from './types.js';

/** At the bound, how long until the journal looks again for something to forget. */
const EVICTION_PAUSE_MS = 1000;
/** Most refusals that wait for the disk; further ones are not written. */
const MAX_REFUSALS = 1024;
const NOTHING = new Uint8Array();

export function createJournal(database: Database, clock: Clock, limits: JournalLimits = JOURNAL_LIMITS): Journal {
  const remembered = createRemembered(database);
  const live = createLiveCommands(database, remembered);
  const orSetAside = createDamageGuard(database);
  const shares = createRecentShares(limits.entries + limits.identities);
  const lookups = createLookups({ inMemory, onDisk, nowhere });
  let nextSeq = 1;
  /** Whether the previous run's commands have been recovered: only then are commands taken in. */
  let recovered = false;
  /** Why they have not. */
  let failure = new SupersimError('busy', 'the journal is not ready');
  /** What had not ended when the previous run did, while that cannot be recovered. */
  let unfinished: Loaded['live'] = [];
  /** Whether this run remembers all that was known when the journal was lost. */
  let isAllKnown = false;
  let evictAgainAt = 0;
  let refusals = 0;

  database.onOpen(({ contents }) => {
    if (contents === 'lost') isAllKnown = recovered;
  });

  function inMemory(wanted: Wanted): Found | Doubt | undefined {
    const { key } = wanted;
    if (key === undefined) return nowhere(wanted);
    const one = live.get(key);
    if (one !== undefined) return foundEntry(one.entry);
    const numbers = remembered.numbersOf(key);
    return numbers.length > 0 ? { kind: 'doubt', numbers } : nowhere(wanted);
  }

  async function onDisk({ key }: Wanted): Promise<Found | undefined> {
    try {
      const found = key && (await orSetAside(() => remembered.find(key)));
      return found && foundRemembered(found);
    } catch (error) {
      if (isSupersimError(error, 'busy')) return { kind: 'unknown', error };
      if (error instanceof DamagedError) return { kind: 'lost' };
      throw error;
    }
  }

  const readRows = (sql: string, value: number) => orSetAside(async () => parseRows(await database.read(sql, [value])));

  /** Judges a datagram that neither memory nor the disk knows. */
  function nowhere({ key, lifetimeMs }: Wanted): Found | undefined {
    if (!recovered) return foundUnfinished(key) ?? { kind: 'unknown', error: failure };
    const lost = database.identity?.lost;
    if (key === undefined || isAllKnown || !lost) return undefined;
    return ageOf(lost, clock()).least < lifetimeMs ? { kind: 'lost' } : undefined;
  }

  /** Until it can be recovered, a command that had started is known to be interrupted. */
  function foundUnfinished(key: Uint8Array | undefined): Found | undefined {
    const one = key && unfinished.find(({ entry }) => Buffer.compare(entry.command.key, key) === 0);
    return one?.entry.state === 'started' ? INTERRUPTED : undefined;
  }

  /** Takes a command in, in the state that `next` makes of it, unless it must be refused. */
  function takeIn(command: JournalCommand, next: (accepted: JournalEntry) => JournalEntry, done: WriteCallback): void {
    const refusal = refusalOf(command);
    if (refusal !== undefined) {
      done(refusal);
      return;
    }
    const accepted = acceptedEntry(command, nextSeq++, clock());
    live.put(live.add(accepted), next(accepted), done);
  }

  function refuse(command: JournalCommand, ending: Ending, done: WriteCallback): void {
    if (refusals >= MAX_REFUSALS) {
      done(new SupersimError('busy', 'too many refusals wait for the disk'));
      return;
    }
    refusals++;
    // It never runs: its request is not needed.
    takeIn(
      { ...command, request: NOTHING },
      (accepted) => endedEntry(accepted, ending, clock()),
      (error) => {
        refusals--;
        done(error);
        shrink();
      },
    );
  }

  /** Returns why a command cannot be taken in. */
  function refusalOf(command: JournalCommand): SupersimError | undefined {
    if (!recovered) return failure;
    if (live.get(command.key) !== undefined) return new SupersimError('busy', 'the journal has it already');
    if (live.size >= limits.entries || live.bytes + reservedFor(command) > limits.bytes) {
      return full('commands that have not ended');
    }
    if (remembered.count >= limits.entries + limits.identities && !evict()) {
      return full('commands of which repeats may still come');
    }
    if (shares.take(command.source.address, remembered.count + live.size, clock().monotonic)) return undefined;
    return full(`commands from ${command.source.address} of which repeats may still come`);
  }

  /** @returns whether it made room */
  function evict(): boolean {
    const now = clock();
    if (now.monotonic < evictAgainAt) return false;
    if (remembered.forgetOldest((group) => isEvictable(group, now))) return true;
    evictAgainAt = now.monotonic + EVICTION_PAUSE_MS;
    return false;
  }

  /** Keeps only the identities of the oldest commands where there are too many with their replies. */
  function shrink(): void {
    const { whole } = remembered;
    while (whole.count + live.size > limits.entries || whole.bytes + live.bytes > limits.bytes) {
      if (!remembered.packOldest()) return;
    }
  }

  /** Returns the command of a key that has not ended; gives `done` an error when there is none. */
  function liveCommand(key: Uint8Array, done: WriteCallback): LiveCommand | undefined {
    const one = live.get(key);
    if (one !== undefined && isLive(one.entry)) return one;
    done(new SupersimError('busy', 'the journal has no such command that has not ended'));
    return undefined;
  }

  function start(key: Uint8Array, done: WriteCallback): void {
    const one = liveCommand(key, done);
    if (one !== undefined) live.put(one, startedEntry(one.entry, clock()), done);
  }

  function finish(key: Uint8Array, ending: Ending, done: WriteCallback = ignore): void {
    const one = liveCommand(key, done);
    if (one === undefined) return;
    live.put(one, endedEntry(one.entry, ending, clock()), (error) => {
      done(error);
      shrink();
    });
  }

  async function recover(tell: TellEnding): Promise<Recovered> {
    if (recovered) return { run: [], ended: [] };
    try {
      const loaded = await loadJournal(database, remembered);
      nextSeq = Math.max(nextSeq, loaded.lastSeq + 1);
      unfinished = loaded.live;
      const result = await settleUnfinished(loaded, tell);
      unfinished = [];
      recovered = true;
      shrink();
      return result;
    } catch (error) {
      if (!isSupersimError(error, 'busy')) throw error;
      failure = error;
      throw error;
    } finally {
      lookups.open();
    }
  }

  /** @throws (rejects) SupersimError `busy` when the disk cannot be written */
  async function settleUnfinished(loaded: Loaded, tell: TellEnding): Promise<Recovered> {
    const now = clock();
    const unconfirmed = loaded.live.filter(isUnconfirmed);
    const rows = loaded.live.filter((row) => !isUnconfirmed(row));
    const decided = rows.map((row) => ({ ...row, decision: decideRecovery(row.entry, now) }));
    const ended = decided.flatMap(({ entry, bytes, decision }) => {
      if (decision === 'run') return [];
      const outcome = RECOVERY_OUTCOMES[decision];
      return [{ entry: endedEntry(entry, { ...tell(entry, outcome), outcome }, now), bytes }];
    });
    await new Promise<void>((resolve, reject) => {
      database.write(
        (run) => {
          removeRows(
            run,
            unconfirmed.map(({ entry }) => entry.seq),
            database.lastCount,
          );
          for (const { entry } of ended) updateRow(run, entry, database.nextCount());
        },
        (error) => (error === undefined ? resolve() : reject(error)),
      );
    });
    for (const { entry, bytes } of ended) remembered.add(endedOf(entry, bytes + (entry.reply?.length ?? 0)));
    const running = decided.filter(({ decision }) => decision === 'run');
    for (const { entry, bytes } of running) live.add(entry, entry, bytes);
    return { run: running.map(({ entry }) => entry), ended: ended.map(({ entry }) => entry) };
  }

  /** A command that never started, and that may have been refused as its commit failed. */
  const isUnconfirmed = ({ entry, count }: Row): boolean =>
    entry.state === 'accepted' && database.lastConfirmed !== undefined && count > database.lastConfirmed;

  async function purge(): Promise<number> {
    const { count } = remembered;
    await new Promise<void>((resolve, reject) => {
      database.write(
        (run) => removeEnded(run, database.lastCount),
        (error) => {
          if (error !== undefined) {
            reject(error);
            return;
          }
          // At once: what ended in the same commit, but later, stays.
          remembered.clear();
          resolve();
        },
      );
    });
    await database.renew();
    return count;
  }

  function maintain(): void {
    if (!recovered) return;
    live.retry();
    const now = clock();
    while (remembered.forgetOldest((group) => isForgotten(group, now, limits.keepMs)));
  }

  /** Returns the state that memory knows, which is the newer one. */
  const newest = (entry: JournalEntry): JournalEntry => live.get(entry.command.key)?.entry ?? entry;

  return {
    find: (key, peer, lifetimeMs, then) => lookups.find({ key, lifetimeMs }, peer, then),
    accept: (command, done) => takeIn(command, (accepted) => accepted, done),
    begin: (command, done) => takeIn(command, (accepted) => startedEntry(accepted, accepted.received), done),
    refuse,
    start,
    finish,
    async list({ limit }) {
      return (await readRows(NEWEST_FIRST, limit)).map(({ entry }) => newest(entry));
    },
    async get(seq) {
      const [row] = await readRows(BY_NUMBER, seq);
      return row && newest(row.entry);
    },
    cancel(seq, ending, done) {
      const one = [...live.values()].find(({ entry }) => entry.seq === seq && entry.state === 'accepted');
      if (one !== undefined) finish(one.entry.command.key, { ...ending, outcome: 'refused' }, done);
      return one !== undefined;
    },
    purge,
    recover,
    maintain,
    get size() {
      const { whole, count } = remembered;
      return {
        entries: whole.count + live.size,
        bytes: whole.bytes + live.bytes,
        live: live.size,
        remembered: count + live.size,
      };
    },
  };
}

const ignore = () => undefined;

const full = (what: string) => new SupersimError('busy', `the journal is full of ${what}`);

/** How recovery ends a command. */
const RECOVERY_OUTCOMES = { expire: 'refused', interrupt: 'interrupted', done: 'done' } as const;

const INTERRUPTED: Found = { kind: 'forgotten', outcome: 'interrupted', code: 'interrupted' };

const foundEntry = (entry: JournalEntry): Found =>
  isLive(entry) ? { kind: 'running' } : { kind: 'ended', reply: entry.reply ?? undefined };

function foundRemembered(found: Remembered): Found {
  if (found === 'lost') return { kind: 'lost' };
  if ('entry' in found) return foundEntry(found.entry);
  const { outcome, code, hadReply } = found.identity;
  return hadReply ? { kind: 'forgotten', outcome, code } : { kind: 'ended', reply: undefined };
}
