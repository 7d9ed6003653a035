/** Makes the journal of an agent that remembers many commands. */
import { randomBytes } from 'node:crypto';
import { join } from 'node:path';
import Database from 'libsql';
import { DATABASE_NAME, REMEMBERING, sendWork, startJournalAgent } from './journal-agent.mjs';
import { startLoad } from './support.mjs';

/** Commands that one agent gets, and in each of its parts one port: no table of recent commands is full before. */
const OF_ONE_AGENT = 10_000;
const OF_ONE_PORT = 5000;
const IN_FLIGHT = 128;
/** More than these are written by {@link multiplyRows}, where it can. */
const MOST_SENT = 100_000;
const ROWS_IN_TRANSACTION = 50_000;

/**
 * Leaves in an empty folder the journal of a stopped agent that has ended `count` commands and remembers them all.
 *
 * @param {string} state
 * @param {number} count
 */
export async function fillJournal(state, count) {
  const sent = count > MOST_SENT ? OF_ONE_AGENT : count;
  for (let left = sent; left > 0; left -= OF_ONE_AGENT) await sendTo(state, Math.min(left, OF_ONE_AGENT));
  if (count > sent) multiplyRows(join(state, DATABASE_NAME), sent, count);
}

/** @param {string} state @param {number} count */
async function sendTo(state, count) {
  const agent = await startJournalAgent(state, { journal: REMEMBERING });
  const load = startLoad();
  for (let left = count; left > 0; left -= OF_ONE_PORT) {
    await sendWork(load, agent, Math.min(left, OF_ONE_PORT), IN_FLIGHT);
  }
  await load.stop();
  await agent.stop();
}

/**
 * Repeats a journal's rows, each with a key of its own, until there are `count`: what an agent reads when it starts is as
 * if it had ended so many commands.
 *
 * @param {string} path of the database
 * @param {number} there how many rows there are, from number 1 on
 * @param {number} count
 */
function multiplyRows(path, there, count) {
  const database = new Database(path);
  const columns = database.prepare("SELECT name FROM pragma_table_info('command')").all([]);
  if (!columns.some((column) => /** @type {{ name: string }} */ (column).name === 'key'))
    throw new Error('this journal does not keep the keys of commands in their rows');
  database.exec('PRAGMA synchronous = OFF');
  const insert = database.prepare(
    'INSERT INTO command (seq, key, live, record, progress) SELECT ?, ?, 0, record, progress FROM command WHERE seq = ?',
  );
  for (let last = there; last < count; ) {
    const next = Math.min(count, last + ROWS_IN_TRANSACTION);
    database.exec('BEGIN');
    while (last < next) insert.run([++last, randomBytes(32), 1 + (last % there)]);
    database.exec('COMMIT');
  }
  database.exec('PRAGMA wal_checkpoint(TRUNCATE)');
  database.close();
}
