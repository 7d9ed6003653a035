#!/usr/bin/env node
import yargs from 'yargs';
import { hideBin } from 'yargs/helpers';
import { loopbackCommand } from '../loopback/cli.js';
import { fetchCommand } from '../sender/cli/api/fetch.js';
import { listCommand } from '../sender/cli/api/list.js';
import { sendCommand } from '../sender/cli/api/send.js';
import { watchCommand } from '../sender/cli/api/watch.js';
import { reportError } from '../sender/cli/exit.js';
import { explainCommand } from '../sender/cli/explain.js';
import { broadcastCommand } from '../sender/cli/fleet/broadcast.js';
import { keysCommand } from '../sender/cli/keys/keys.js';
import { listenCommand } from '../sender/cli/listen.js';
import { requestCommand } from '../sender/cli/request.js';
import { runCli } from './run-cli.js';

await runCli(
  yargs(hideBin(process.argv))
    .scriptName('supersim')
    .usage('$0 <command>\n\nCommands devices behind cellular NAT through the Super SIM API.')
    .command(requestCommand)
    .command(broadcastCommand)
    .command(sendCommand)
    .command(listCommand)
    .command(fetchCommand)
    .command(watchCommand)
    .command(listenCommand)
    .command(keysCommand)
    .command(explainCommand)
    .command(loopbackCommand),
  reportError,
);
