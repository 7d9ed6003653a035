import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { describe, expect, it } from 'vitest';

const FOLDERS = ['agent', 'sender', 'loopback', 'shared', 'bin', 'test', 'scripts', 'packaging', 'systemd'];
const FACTS = 'docs/vendor-facts.md';
const HEADING = /^#+ (.+)$/gm;
/** One heading or several: `docs/vendor-facts.md, "API: errors" and "API: lists"`. */
const CITATION = /docs\/vendor-facts\.md, ("[^"]+"(?:(?:, | and )"[^"]+")*)/g;
/** Where a comment goes on in the next line. */
const LINE_END = /\n[ \t]*(?:\*|\/\/|#)?[ \t]*/g;
const LINK = /\]\(([^)\s]+)\)/g;

const filesIn = (folder: string): string[] =>
  readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map(({ parentPath, name }) => join(parentPath, name));

const read = (file: string): string => readFileSync(file, 'utf8');
const groupsOf = (text: string, pattern: RegExp): string[] =>
  [...text.matchAll(pattern)].map(([, group = '']) => group);

const sources = FOLDERS.flatMap(filesIn);
const headings = groupsOf(read(FACTS), HEADING);

describe('The documented vendor facts', () => {
  it('have no two sections of the same heading', () => {
    expect(headings.filter((heading, index) => headings.indexOf(heading) !== index)).toEqual([]);
  });

  it('have every section that the sources cite', () => {
    const cited = [...sources, FACTS].flatMap((file) =>
      groupsOf(read(file).replaceAll(LINE_END, ' '), CITATION)
        .flatMap((list) => groupsOf(list, /"([^"]+)"/g))
        .map((heading) => ({ file, heading })),
    );
    expect(cited.length).toBeGreaterThan(30);
    expect(cited.filter(({ heading }) => !headings.includes(heading))).toEqual([]);
  });

  it('are what the sources cite, in place of a document that is not in the repository', () => {
    expect(sources.filter((file) => /fact[ -]sheet/i.test(read(file)))).toEqual([]);
  });
});

describe('The documentation', () => {
  const documents = ['README.md', ...filesIn('docs').filter((file) => file.endsWith('.md'))];

  it.each(documents)('%s links to files that exist', (document) => {
    const targets = groupsOf(read(document), LINK).filter((target) => !/^(?:[a-z]+:|#)/i.test(target));
    const missing = targets.filter((target) => !existsSync(join(dirname(document), target.replace(/#.*/, ''))));
    expect(missing).toEqual([]);
  });
});
