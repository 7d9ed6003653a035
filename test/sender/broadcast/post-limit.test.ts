import { describe, expect, it } from 'vitest';
import { createPostLimit, FIRST_POSTS, MAX_POSTS_AT_ONCE } from '../../../sender/broadcast/post-limit.js';

function setUp() {
  let now = 0;
  const limit = createPostLimit(() => now);
  return {
    ...limit,
    pass: (ms: number) => {
      now += ms;
    },
    accept: (times: number) => {
      for (let time = 0; time < times; time++) limit.accepted();
    },
  };
}

describe('the limit of posts at once', () => {
  it('grows with each one that is taken, to a bound', () => {
    const { current, accept } = setUp();
    expect(current()).toBe(FIRST_POSTS);
    accept(10);
    expect(current()).toBe(FIRST_POSTS + 10);
    accept(10_000);
    expect(current()).toBe(MAX_POSTS_AT_ONCE);
  });

  it('is halved once for refusals that come together, and grows slowly from then on', () => {
    const { current, accept, refused, pass } = setUp();
    accept(68);
    for (let time = 0; time < 20; time++) refused();
    expect(current()).toBe(50);
    accept(51);
    expect(current()).toBe(51);
    pass(1000);
    refused();
    expect(current()).toBe(25);
  });

  it('never falls below one', () => {
    const { current, refused, pass } = setUp();
    for (let time = 0; time < 20; time++) {
      refused();
      pass(1000);
    }
    expect(current()).toBe(1);
  });

  it('stays near what an API takes at once', () => {
    const { current, accepted, refused, pass } = setUp();
    const seen: number[] = [];
    for (let round = 0; round < 500; round++) {
      const posts = current();
      seen.push(posts);
      for (let post = 0; post < posts; post++) (post < 20 ? accepted : refused)();
      pass(200);
    }
    for (const posts of seen.slice(100)) expect(posts).toBeGreaterThan(5);
    expect(seen.slice(100).filter((posts) => posts > 30)).toEqual([]);
  });
});
