/**
 * Which journal a device has, by which a caller learns that it is not the one that recorded an earlier command. A reply
 * carries it when its request asks for it, as the text `ID:AGE`: `0123456789ab:86400`.
 */
export interface JournalIdentity {
  /** Random, made with the journal: 12 lower-case hexadecimal digits. */
  readonly id: string;
  /** Seconds since the journal was made, as far as the device can tell. */
  readonly age: number;
}

const WRITTEN = /^([0-9a-f]{12}):(\d{1,11})$/;
const MAX_AGE = 99_999_999_999;

/** The longest form that {@link formatJournalIdentity} writes. */
export const LONGEST_JOURNAL_IDENTITY = `${'f'.repeat(12)}:${MAX_AGE}`;

/** Writes an identity as a reply carries it, the age in whole seconds; a clock that was set back makes it 0. */
export const formatJournalIdentity = ({ id, age }: JournalIdentity): string =>
  `${id}:${Math.min(MAX_AGE, Math.max(0, Math.floor(age)))}`;

/** @returns undefined for anything that {@link formatJournalIdentity} does not write */
export function parseJournalIdentity(value: unknown): JournalIdentity | undefined {
  const [, id, age] = (typeof value === 'string' && WRITTEN.exec(value)) || [];
  return id === undefined || age === undefined ? undefined : { id, age: Number(age) };
}
