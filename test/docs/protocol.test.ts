import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { REMEMBERED } from '../../shared/limits.js';
import { lookingHandler, startWired } from '../agent/command/wired-support.js';

const DOCUMENT = readFileSync('docs/protocol.md', 'utf8');
const EXAMPLES = [...DOCUMENT.matchAll(/<!-- tested -->\n```\n(.*?)```/gs)].map(([, text = '']) =>
  text.trim().split('\n'),
);

/** The examples are literal, but for what stands as a pattern in a string. */
const asPattern = (line: string): RegExp => {
  const literal = line.replaceAll(/[\\^$.*+?()[\]{}|]/g, '\\$&');
  return new RegExp(`^${literal.replace('\\[0-9a-f\\]\\{12\\}:\\\\d\\+', '[0-9a-f]{12}:\\d+')}$`);
};

describe('docs/protocol.md', () => {
  it('has examples', () => {
    expect(EXAMPLES).toHaveLength(2);
  });

  it.each(EXAMPLES.map((lines) => [lines]))('answers as in its example: %s', async (lines) => {
    const { handler } = lookingHandler('work', () => 1, 'done');
    const { reply } = await startWired({ handlers: [handler], identity: () => '0123456789ab:17' });
    for (let at = 0; at < lines.length; at += 2) {
      const [request = '', answer = ''] = lines.slice(at, at + 2);
      expect([request.slice(0, 2), answer.slice(0, 2)]).toEqual(['> ', '< ']);
      expect(String(await reply(request.slice(2)))).toMatch(asPattern(answer.slice(2)));
    }
  });

  it('says for how long outcomes are remembered, as the README does', () => {
    expect(DOCUMENT).toContain(REMEMBERED);
    expect(readFileSync('README.md', 'utf8')).toContain(REMEMBERED);
  });
});
