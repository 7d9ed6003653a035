#!/usr/bin/env -S node --max-semi-space-size=4
import { readRunFlags } from '../agent/cli/run/flags.js';
// The flag, in MiB, keeps V8's young generation at what commands need: with the default it grows after some 100,000.
import { runAgent } from '../agent/cli/run/run.js';
import { orExit } from './or-exit.js';

const flags = readRunFlags(process.argv.slice(2));
if (flags !== undefined) await orExit(() => runAgent(flags));
else {
  const { runAgentCli } = await import('./supersim-agent-cli.js');
  await runAgentCli();
}
