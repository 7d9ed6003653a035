import { describe, expect, it } from 'vitest';
import { chunkings, observe } from '../support.js';
import { TRANSCRIPTS } from '../transcripts.js';

describe('the log reader gives the expected events in any chunks', () => {
  it.each(TRANSCRIPTS)('$dialect: $what', ({ dialect, exchange, understood }) => {
    let tried = 0;
    for (const log of chunkings(exchange)) {
      const found = observe(dialect, log);
      tried++;
      if (JSON.stringify(found) === JSON.stringify(understood)) continue;
      const cuts = log.map(({ direction, bytes }) => `${direction} ${JSON.stringify(bytes.toString('latin1'))}`);
      expect(found, cuts.join('\n')).toEqual(understood);
    }
    expect(tried).toBeGreaterThan(exchange.length);
  });
});
