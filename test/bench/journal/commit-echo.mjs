/**
 * What the journal is compared with: a UDP echo that commits, for each datagram, rows as long as those of the agent's
 * journal, in groups, in its own process, and nothing else done. What came in one turn of the event loop is inserted as
 * started in one commit, updated to done in the next, beside what came meanwhile, and answered after that.
 */
import { createSocket } from 'node:dgram';
import { join } from 'node:path';
import Database from 'libsql';

const [address = '127.0.0.1', port = '0', folder = '.', ...lengths] = process.argv.slice(2);
const [record, started, done] = lengths.map((length) => Buffer.alloc(Number(length), 'x'));

const database = new Database(join(folder, 'journal.db'));
for (const pragma of [
  'locking_mode = EXCLUSIVE',
  'journal_mode = WAL',
  'synchronous = FULL',
  'cache_size = -1024',
  'journal_size_limit = 4194304',
])
  database.exec(`PRAGMA ${pragma}`);
database.exec(
  'CREATE TABLE command (seq INTEGER PRIMARY KEY, live INTEGER NOT NULL, record BLOB NOT NULL, progress BLOB NOT NULL)',
);
const begin = database.prepare('BEGIN IMMEDIATE');
const end = database.prepare('COMMIT');
const insert = database.prepare('INSERT INTO command (seq, live, record, progress) VALUES (?, 1, ?, ?)');
const update = database.prepare('UPDATE command SET live = 0, progress = ? WHERE seq = ?');

/** @typedef {{ seq: number, bytes: Buffer, from: import('node:dgram').RemoteInfo }} Received */

let seq = 0;
/** @type {Received[]} */
let received = [];
/** Those that the last commit has inserted. @type {Received[]} */
let running = [];
let scheduled = false;

/** At the end of this turn of the event loop, which may bring more. */
function scheduleCommit() {
  if (!scheduled) setImmediate(commit);
  scheduled = true;
}

function commit() {
  scheduled = false;
  const ended = running;
  running = received;
  received = [];
  begin.run([]);
  for (const one of running) insert.run([one.seq, record, started]);
  for (const one of ended) update.run([done, one.seq]);
  end.run([]);
  for (const { bytes, from } of ended) socket.send(bytes, from.port, from.address);
  if (running.length > 0) scheduleCommit();
}

const socket = createSocket({ type: 'udp4', recvBufferSize: 1_048_576 });
socket.on('message', (bytes, from) => {
  received.push({ seq: ++seq, bytes, from });
  scheduleCommit();
});
socket.bind(Number(port), address, () => process.stdout.write(`ready ${socket.address().port}\n`));
