/** Path of the list of resources (RFC 6690 §4). */
export const DISCOVERY_PATH = ['.well-known', 'core'] as const;

/** Path of protected events, which a device sends as requests. */
export const EVENT_PATH = ['event'] as const;

/** Returns the path of a command's resource: `/relay/set` for `relay.set`. */
export const commandPath = (name: string): string => `/${name.split('.').join('/')}`;

/** Returns the handler's name for the segments of `Uri-Path`; undefined when one of them has a dot or is empty. */
export function nameOfSegments(segments: readonly string[]): string | undefined {
  return segments.length > 0 && segments.every((segment) => segment !== '' && !segment.includes('.'))
    ? segments.join('.')
    : undefined;
}
