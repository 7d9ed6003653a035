/** Makes the journal of an agent that remembers many commands. */
import { execFile } from 'node:child_process';
import { randomBytes, randomUUID } from 'node:crypto';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { crc32 } from 'node:zlib';
import Database from 'libsql';
import { startLoad } from '../lib/support.mjs';
import { DATABASE_NAME, REMEMBERING, sendWork, startJournalAgent } from './journal-agent.mjs';

/** Commands that one agent gets, and in each of its parts one port: no table of recent commands is full before. */
const OF_ONE_AGENT = 10_000;
const OF_ONE_PORT = 5000;
const IN_FLIGHT = 128;
const SELF = fileURLToPath(import.meta.url);
/** More than these are written into the database. */
const MOST_SENT = 100_000;

/**
 * Leaves in an empty folder the journal of a stopped agent that has ended `count` commands and remembers them all.
 *
 * @param {string} state
 * @param {number} count
 */
export async function fillJournal(state, count) {
  const sent = count > MOST_SENT ? OF_ONE_AGENT : count;
  for (let left = sent; left > 0; left -= OF_ONE_AGENT) await sendTo(state, Math.min(left, OF_ONE_AGENT));
  // A process of its own, as libsql keeps a closed database open until its statements are collected.
  if (count > sent) await promisify(execFile)(process.execPath, [SELF, join(state, DATABASE_NAME), `${count - sent}`]);
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

/** Identities in a row, and the bytes of each: see agent/command/journal/identities.ts. */
const GROUP_SIZE = 100;
const KEY_BYTES = 32;
const IDENTITY_BYTES = KEY_BYTES + 4;

/**
 * Adds identities of commands, until there are `count` of them beside the commands that have rows.
 *
 * @param {string} path of the database
 * @param {number} count
 */
function addIdentities(path, count) {
  const database = new Database(path);
  database.exec('PRAGMA synchronous = OFF');
  const insert = database.prepare('INSERT INTO identities (first, record) VALUES (?, ?)');
  const finished = { wall: Date.now(), monotonic: 1, boot: randomUUID() };
  database.exec('BEGIN');
  for (let first = 0; first < count; first += GROUP_SIZE) {
    const size = Math.min(GROUP_SIZE, count - first);
    const identities = Buffer.alloc(size * IDENTITY_BYTES);
    for (let at = 0; at < size; at++) randomBytes(KEY_BYTES).copy(identities, at * IDENTITY_BYTES);
    insert.run([first, record({ first, count: size, finished, lifetimeMs: 365_000 }, identities)]);
  }
  database.exec('COMMIT');
  database.exec('PRAGMA wal_checkpoint(TRUNCATE)');
  database.close();
}

/**
 * A record with an attachment: see agent/storage/record.ts.
 *
 * @param {unknown} document
 * @param {Buffer} attachment
 */
function record(document, attachment) {
  const json = Buffer.from(JSON.stringify(document));
  const head = Buffer.from([2, json.length >> 8, json.length & 0xff]);
  const content = Buffer.concat([head, json, attachment]);
  const checksum = Buffer.alloc(4);
  checksum.writeUInt32BE(crc32(content));
  return Buffer.concat([checksum, content]);
}

const [, program, path, count] = process.argv;
if (program === SELF && path !== undefined) addIdentities(path, Number(count));
