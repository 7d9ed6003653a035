#!/usr/bin/env node
import { runAgent } from '../agent/cli/run.js';
import { readRunFlags } from '../agent/cli/run-flags.js';
import { orExit } from './or-exit.js';

const flags = readRunFlags(process.argv.slice(2));
if (flags !== undefined) await orExit(() => runAgent(flags));
else {
  const { runAgentCli } = await import('./supersim-agent-cli.js');
  await runAgentCli();
}
