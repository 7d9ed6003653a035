import { readFileSync, writeFileSync } from 'node:fs';

/** With the agent's own -500 in its unit, a program of any size is killed before the agent. */
const SCORE_ADJ = '500';
/** Most processes of a program that are looked for: it has hardly begun. */
const MAX_PROCESSES = 64;

/**
 * Has the kernel kill a program before the agent when memory runs out, by its `oom_score_adj`: what it starts later
 * inherits that, and what it has started already is given it too: Node tells late that it has started a program, which
 * has often forked by then.
 *
 * Other ways are worse. A wrapper that sets it and executes the program (`choom`, `sh`) would take the program's argv[0]
 * from it, and hide from the agent that it could not be executed, and why; the agent's own value, raised while it
 * forks, would have the agent itself killed when its fork takes the last memory.
 *
 * What is out of reach keeps the agent's value: a process whose parent has ended before that, a program whose file the
 * agent may not read, and all of them where there is no such file in /proc (macOS).
 */
export function killBeforeAgent(pid: number): void {
  const processes = [pid];
  // Each is set before its children are listed: those that it starts after that inherit it.
  for (let at = 0; at < Math.min(processes.length, MAX_PROCESSES); at++) {
    const folder = `/proc/${processes[at]}`;
    try {
      writeFileSync(`${folder}/oom_score_adj`, SCORE_ADJ);
      const children = readFileSync(`${folder}/task/${processes[at]}/children`, 'utf8');
      processes.push(...children.split(' ').filter(Boolean).map(Number));
    } catch {
      // It has ended, or may not be changed.
    }
  }
}
