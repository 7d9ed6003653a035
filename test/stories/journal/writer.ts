/** Writes commands to a journal, says on stdout what was acknowledged, and kills itself where it is told to. */
import { createHash } from 'node:crypto';
import { writeSync } from 'node:fs';
import { silentLog } from '../../../agent/base/log.js';
import { systemClock } from '../../../agent/base/moment.js';
import type { JournalCommand } from '../../../agent/command/journal/entry.js';
import { createJournal } from '../../../agent/command/journal/journal.js';
import type { Journal } from '../../../agent/command/journal/types.js';
import { openDatabase } from '../../../agent/storage/database.js';

const [folder = '', killAt = ''] = process.argv.slice(2);

/** A digest, as keys are. */
const keyOf = (id: number) => createHash('sha256').update(String(id)).digest();

const command = (id: number): JournalCommand => ({
  key: keyOf(id),
  peer: 'gateway',
  id,
  name: 'relay.set',
  format: 'json',
  request: Buffer.alloc(200, id),
  source: { address: '100.64.0.1', port: 6969 },
  port: 6969,
  transport: 'udp',
  idempotent: false,
  deadline: null,
  lifetimeMs: 1000,
});

/** stdout is written at once: what has been said here was true before the end. */
function at(step: string, id: number): void {
  writeSync(1, `${step} ${id}\n`);
  if (step === killAt) process.kill(process.pid, 'SIGKILL');
}

function live(journal: Journal, id: number, next: () => void): void {
  const failed = (error?: Error) => {
    if (error !== undefined) throw error;
  };
  journal.accept(command(id), (error) => {
    failed(error);
    at('accepted', id);
    journal.start(command(id).key, (startError) => {
      failed(startError);
      at('started', id);
      journal.finish(command(id).key, { outcome: 'done', reply: Buffer.from(`reply ${id}`) }, (endError) => {
        failed(endError);
        at('done', id);
        next();
      });
      at('finishing', id);
    });
    at('starting', id);
  });
  at('accepting', id);
}

const journal = createJournal(await openDatabase({ folder, clock: systemClock(), log: silentLog }), systemClock());
await journal.recover(() => ({}));
let nextId = 0;
const next = () => live(journal, nextId++, next);
// Several at once, so that their commits are of several steps each.
for (let parallel = 0; parallel < (killAt === '' ? 7 : 1); parallel++) next();
