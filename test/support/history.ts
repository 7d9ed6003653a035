import { spawnSync } from 'node:child_process';

const git = (...args: string[]) => spawnSync('git', args, { encoding: 'utf8' });

/**
 * The last commit that had a version in package.json: the one before the version went away. It is looked up, as commits
 * may be written anew.
 *
 * @returns undefined where the history does not go back so far, as in a shallow clone, or there is none
 */
export function lastCommitOf(version: string): string | undefined {
  const line = `"version": "${version}"`;
  const { stdout: next } = git('log', '--format=%H', '-1', `-S${line}`, '--', 'package.json');
  const { status, stdout } = git('rev-parse', '--verify', '--quiet', `${next?.trim()}^`);
  const commit = stdout?.trim();
  if (status !== 0 || !commit) return undefined;
  return git('show', `${commit}:package.json`).stdout.includes(line) ? commit : undefined;
}
