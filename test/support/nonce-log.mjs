/**
 * To be loaded before an agent (`--import`): writes down each encryption of its AEAD before it is made, as a line
 * `key nonce` in the file NONCE_LOG, and as a mark in the log of a faulty disk where there is one. A nonce that is
 * written down may not be used, when the process ends at this moment; one that is used is always written down.
 *
 * With CLOCK_RATE the wall clock runs so many times as fast as the monotonic one, which all processes share, from
 * CLOCK_START `UNIX-MS MONOTONIC-MS`: so an agent that waits for its clock waits shorter, and time never goes back.
 */
import crypto, { createHash } from 'node:crypto';
import { appendFileSync } from 'node:fs';
import { syncBuiltinESMExports } from 'node:module';
import { isMainThread } from 'node:worker_threads';

const { NONCE_LOG, FAULTY_DISK_LOG, CLOCK_RATE, CLOCK_START = '0 0' } = process.env;
const MARK_HEAD_BYTES = 16;

/** Says in the log of a faulty disk that something has happened by now; without one, nowhere. @param {string} text */
export function mark(text) {
  if (FAULTY_DISK_LOG === undefined) return;
  const head = Buffer.alloc(MARK_HEAD_BYTES);
  head.write('m');
  head.writeUInt32LE(Buffer.byteLength(text), 4);
  appendFileSync(FAULTY_DISK_LOG, Buffer.concat([head, Buffer.from(text)]));
}

/** @type {(key: crypto.CipherKey) => string} */
const nameOf = (key) => {
  const bytes = key instanceof crypto.KeyObject ? key.export() : key;
  return createHash('sha256').update(bytes).digest('hex').slice(0, 16);
};

function logNonces() {
  const { createCipheriv } = crypto;
  crypto.createCipheriv = (algorithm, key, nonce, options) => {
    if (algorithm === 'aes-128-ccm') {
      const line = `${nameOf(key)} ${Buffer.from(nonce).toString('hex')}`;
      appendFileSync(NONCE_LOG, `${line}\n`);
      mark(`nonce ${line}`);
    }
    return createCipheriv(algorithm, key, nonce, options);
  };
  syncBuiltinESMExports();
}

function hastenClock() {
  const [wall = 0, monotonic = 0] = CLOCK_START.split(' ').map(Number);
  Date.now = () => Math.floor(wall + Number(CLOCK_RATE) * (Number(process.hrtime.bigint()) / 1e6 - monotonic));
}

// The thread of the journal encrypts nothing, and its clock is its own.
if (isMainThread) {
  if (NONCE_LOG !== undefined) logNonces();
  if (CLOCK_RATE !== undefined) hastenClock();
}
