import { framed, type OutputUnit } from '../at/output-unit.js';
import type { ModemClock } from '../clock.js';
import type { ModemFaults } from './faults.js';
import type { FaultKind, Sampler } from './sampler.js';

/** Silence after which gathered output is written. */
const SILENCE_MS = 20;
/** Maximum time that a URC waits for a command. */
const HELD_MS = 2000;
const LINE_ENDS = { usual: '\r\n', lf: '\n', 'doubled-cr': '\r\r\n' } as const;
const MAX_GARBAGE = 32;

type OutputFault = Exclude<FaultKind, 'error'>;

export interface OutputOptions {
  readonly clock: ModemClock;
  /** The current faults. */
  readonly faults: () => ModemFaults;
  readonly sampler: () => Sampler;
  readonly idleUrc: () => string;
  readonly write: (chunk: Buffer) => void;
  readonly onHit: (fault: OutputFault, bytes: Buffer) => void;
}

/** Applies the faults to units of output, and cuts these into chunks. */
export interface Output {
  emit(unit: OutputUnit): void;
  /** Discards output that was not written. */
  clear(): void;
}

export function createOutput({ clock, faults, sampler, idleUrc, write, onHit }: OutputOptions): Output {
  let held: OutputUnit[] = [];
  let gathered: Buffer[] = [];
  let cancelGathering = () => {};
  let cancelHolding = () => {};

  function emit(unit: OutputUnit): void {
    if (faults().silent === 'yes') return;
    if (unit.kind === 'urc') emitUrc(unit);
    else emitReply(unit);
  }

  const hits = (fault: OutputFault, bytes: Buffer) => {
    const random = sampler().sample(fault, faults()[fault]);
    if (random !== undefined) onHit(fault, bytes);
    return random;
  };

  function emitUrc(unit: OutputUnit) {
    const { bytes } = unit;
    const [lost, twice, between] = [hits('urcLoss', bytes), hits('urcDuplicate', bytes), hits('urcBetween', bytes)];
    if (lost) return;
    const copies = twice ? [unit, unit] : [unit];
    if (!between) return copies.forEach(put);
    held.push(...copies);
    cancelHolding();
    cancelHolding = clock.after(HELD_MS, release);
  }

  function release(): void {
    cancelHolding();
    const units = held;
    held = [];
    units.forEach(put);
  }

  function emitReply(unit: OutputUnit) {
    const { kind, bytes } = unit;
    if (kind === 'echo' || kind === 'noise') return put(unit);
    // Before a random line of the answer, at the latest before its result.
    if (held.length > 0 && (kind === 'result' || sampler().sample('place', 0.5))) release();
    if (hits('urcExtra', bytes)) put({ kind: 'urc', bytes: framed(idleUrc()) });
    if (kind === 'prompt') return put(unit);
    const random = hits('garbage', bytes);
    if (random) put({ kind: 'noise', bytes: garbage(random) });
    if (kind === 'line' && hits('lineLoss', bytes)) return;
    put(unit);
  }

  function put({ kind, bytes }: OutputUnit): void {
    const damaging = kind === 'line' || kind === 'data' || kind === 'result' ? hits('byteLoss', bytes) : undefined;
    const ended = kind === 'line' || kind === 'result' || kind === 'urc' ? withLineEnds(bytes) : bytes;
    const changing = kind === 'line' || kind === 'result' ? hits('byteDamage', bytes) : undefined;
    const changed = changing ? withDamagedByte(ended, changing) : ended;
    cut(damaging ? without(changed, Math.floor(damaging() * changed.length)) : changed);
  }

  function withLineEnds(bytes: Buffer): Buffer {
    const end = LINE_ENDS[faults().lineEnds];
    // A URC with a payload is not changed, as the payload may contain line ends.
    if (end === '\r\n' || bytes.subarray(2, -2).includes('\r\n')) return bytes;
    return Buffer.from(bytes.toString('latin1').replaceAll('\r\n', end), 'latin1');
  }

  function cut(bytes: Buffer) {
    const { chunks } = faults();
    if (chunks === 'unit') return write(bytes);
    if (chunks === 'byte') {
      for (const byte of bytes) write(Buffer.of(byte));
      return;
    }
    gathered.push(bytes);
    cancelGathering();
    cancelGathering = clock.after(SILENCE_MS, flush);
  }

  function flush(): void {
    const chunk = Buffer.concat(gathered);
    gathered = [];
    write(chunk);
  }

  return {
    emit,
    clear() {
      cancelGathering();
      cancelHolding();
      held = [];
      gathered = [];
    },
  };
}

export const garbage = (random: () => number): Buffer =>
  Buffer.from(Array.from({ length: 1 + Math.floor(random() * MAX_GARBAGE) }, () => Math.floor(random() * 256)));

function withDamagedByte(bytes: Buffer, random: () => number): Buffer {
  const changed = Buffer.from(bytes);
  changed.writeUInt8(0x80 + Math.floor(random() * 0x80), Math.floor(random() * bytes.length));
  return changed;
}

const without = (bytes: Buffer, index: number) => Buffer.concat([bytes.subarray(0, index), bytes.subarray(index + 1)]);
