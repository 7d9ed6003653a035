import { describe, expect, it } from 'vitest';
import { commandPath, nameOfSegments } from '../../../shared/coap/path.js';

describe('a handler’s name', () => {
  it.each([
    ['ping', '/ping'],
    ['relay.set', '/relay/set'],
    ['a.b-c.d_1', '/a/b-c/d_1'],
  ])('is converted to a path and back: %s', (name, path) => {
    expect(commandPath(name)).toBe(path);
    expect(nameOfSegments(path.slice(1).split('/'))).toBe(name);
  });

  it.each([
    ['no segment', []],
    ['one empty segment', ['']],
    ['an empty segment at the end', ['ping', '']],
    ['an empty segment between', ['relay', '', 'set']],
    ['a dot in a segment, which would be a second path to the same handler', ['relay.set']],
    ['the list of resources', ['.well-known', 'core']],
    ['the folder above', ['relay', '..']],
  ])('does not exist for %s', (_, segments) => {
    expect(nameOfSegments(segments)).toBeUndefined();
  });
});
