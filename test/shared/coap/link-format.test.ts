import { describe, expect, it } from 'vitest';
import { formatLinks } from '../../../shared/coap/link-format.js';

describe('a list of links', () => {
  it('has a target, a title and a resource type for each handler', () => {
    expect(
      formatLinks([
        { name: 'relay.set', description: 'Switches a relay' },
        { name: 'ping', description: 'Answers pong' },
      ]),
    ).toBe(
      '</relay/set>;title="Switches a relay";rt="supersim.command",</ping>;title="Answers pong";rt="supersim.command"',
    );
  });

  it('is empty without handlers', () => {
    expect(formatLinks([])).toBe('');
  });

  it.each([
    ['say "hi"', '"say \\"hi\\""'],
    ['C:\\', '"C:\\\\"'],
    ['a,b;c<d>', '"a,b;c<d>"'],
    ['Größe', '"Größe"'],
    ['', '""'],
  ])('escapes a title: %s', (description, title) => {
    expect(formatLinks([{ name: 'a', description }])).toBe(`</a>;title=${title};rt="supersim.command"`);
  });
});
