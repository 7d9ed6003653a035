import { isRecord } from '../../shared/format/value.js';

/** What an event says. */
export interface EventBody {
  readonly event: string;
  readonly data?: unknown;
}

/** Returns the event that a value from JSON or CBOR is; undefined for any other value. */
export function eventOf(value: unknown): EventBody | undefined {
  if (!isRecord(value)) return undefined;
  const { event, data } = value;
  return typeof event === 'string' ? { event, ...('data' in value && { data }) } : undefined;
}

/** Reads an event in JSON; undefined for any other body. */
export function readEvent(body: Buffer): EventBody | undefined {
  try {
    return eventOf(JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(body)));
  } catch {
    return undefined;
  }
}
