/**
 * What the journal is compared with: the rows of commands written in bare group commits, and nothing else done. The
 * rows are made before the time is taken, by hand, as long as those of the agent's journal.
 */
import { randomBytes, randomUUID } from 'node:crypto';
import { join } from 'node:path';
import Database from 'libsql';

const [folder = '.', inFlight = '64', warmUp = '0', count = '1000'] = process.argv.slice(2);
const CHECK = Buffer.alloc(4);

/** @param {unknown} document */
const record = (document) => Buffer.concat([CHECK, Buffer.from(JSON.stringify(document))]);
/** @param {string} text */
const base64 = (text) => Buffer.from(text).toString('base64');

const boot = randomUUID();
const moment = () => ({ wall: Date.now(), monotonic: 10_000_000, boot });

/** @param {number} seq */
function makeRow(seq) {
  const key = randomBytes(32);
  const command = {
    seq,
    received: moment(),
    key: key.toString('base64'),
    peer: '127.0.0.1:40000',
    id: seq,
    name: 'work',
    format: 'json',
    request: base64(`{"jsonrpc":"2.0","id":${seq},"method":"work"}`),
    source: { address: '127.0.0.1', port: 40_000 },
    port: 40_000,
    transport: 'udp',
    idempotent: false,
    deadline: null,
    lifetimeMs: 247_000,
  };
  const started = {
    seq,
    state: 'started',
    runs: 1,
    started: moment(),
    finished: null,
    outcome: null,
    code: null,
    reply: null,
  };
  const reply = base64(`{"jsonrpc":"2.0","id":${seq},"result":"done"}`);
  const done = { ...started, state: 'done', finished: moment(), outcome: 'done', reply };
  return { seq, key, command: record(command), started: record(started), done: record(done) };
}

const database = new Database(join(folder, 'bare.db'));
for (const pragma of ['journal_mode = WAL', 'synchronous = FULL', 'cache_size = -1024', 'journal_size_limit = 4194304'])
  database.exec(`PRAGMA ${pragma}`);
database.exec(
  'CREATE TABLE command (seq INTEGER PRIMARY KEY, key BLOB NOT NULL UNIQUE, live INTEGER NOT NULL, record BLOB NOT NULL, progress BLOB NOT NULL)',
);
const [begin, commit, insert, update] = [
  'BEGIN IMMEDIATE',
  'COMMIT',
  'INSERT INTO command (seq, key, live, record, progress) VALUES (?, ?, 1, ?, ?)',
  'UPDATE command SET live = 0, progress = ? WHERE seq = ?',
].map((sql) => database.prepare(sql));

/** @param {ReturnType<typeof makeRow>[]} rows */
function write(rows) {
  for (let from = 0; from < rows.length; from += Number(inFlight)) {
    const group = rows.slice(from, from + Number(inFlight));
    begin?.run([]);
    for (const { seq, key, command, started } of group) insert?.run([seq, key, command, started]);
    commit?.run([]);
    begin?.run([]);
    for (const { seq, done } of group) update?.run([done, seq]);
    commit?.run([]);
  }
}

const rows = Array.from({ length: Number(warmUp) + Number(count) }, (_, index) => makeRow(index + 1));
write(rows.slice(0, Number(warmUp)));
const measured = rows.slice(Number(warmUp));
const begun = performance.now();
write(measured);
const seconds = (performance.now() - begun) / 1000;
database.close();
process.stdout.write(
  JSON.stringify({ perSecond: Number(count) / seconds, commits: (2 * Number(count)) / Number(inFlight) / seconds }),
);
