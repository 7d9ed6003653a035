/** Path of the list of resources (RFC 6690 §4). */
export const DISCOVERY_PATH = ['.well-known', 'core'] as const;

/** `relay.set` as the path of its resource, `/relay/set`. */
export const commandPath = (name: string): string => `/${name.split('.').join('/')}`;

/** The segments of `Uri-Path` as a handler's name; undefined when one of them holds a dot or is empty. */
export function nameOfSegments(segments: readonly string[]): string | undefined {
  return segments.length > 0 && segments.every((segment) => segment !== '' && !segment.includes('.'))
    ? segments.join('.')
    : undefined;
}
