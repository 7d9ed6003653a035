import { describe, expect, it } from 'vitest';
import { createGroupCommitter } from '../../../shared/sqlite/group-commit.js';

const turn = () => new Promise((resolve) => setImmediate(resolve));

function makeCommitter() {
  const groups: number[][] = [];
  return { groups, committer: createGroupCommitter<number>((group) => void groups.push([...group])) };
}

describe('a group committer', () => {
  it('commits the writes of one turn of the event loop together, in order', async () => {
    const { groups, committer } = makeCommitter();
    for (const write of [1, 2, 3]) committer.add(write);
    expect(groups).toEqual([]);
    for (let i = 0; i < 3; i++) await turn();
    expect(groups).toEqual([[1, 2, 3]]);
  });

  it('waits while each turn brings another write, for a few turns', async () => {
    const { groups, committer } = makeCommitter();
    for (let write = 0; write < 30; write++) {
      committer.add(write);
      await turn();
    }
    for (let i = 0; i < 3; i++) await turn();
    expect(groups.flat()).toEqual(Array.from({ length: 30 }, (_, write) => write));
    expect(groups.length).toBeGreaterThan(1);
    expect(Math.max(...groups.map((group) => group.length))).toBeLessThanOrEqual(9);
    expect(groups[0]?.length).toBeGreaterThan(5);
  });

  it('commits at once when it is flushed, and nothing twice', async () => {
    const { groups, committer } = makeCommitter();
    committer.add(1);
    committer.flush();
    committer.flush();
    await turn();
    expect(groups).toEqual([[1]]);
  });

  it('takes a write that is added during a commit into the next group', async () => {
    const groups: number[][] = [];
    const committer = createGroupCommitter<number>((group) => {
      groups.push([...group]);
      if (groups.length === 1) committer.add(2);
    });
    committer.add(1);
    committer.flush();
    for (let i = 0; i < 3; i++) await turn();
    expect(groups).toEqual([[1], [2]]);
  });
});
