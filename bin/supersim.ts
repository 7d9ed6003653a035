#!/usr/bin/env node
import yargs from 'yargs';
import { hideBin } from 'yargs/helpers';
import { loopbackCommand } from '../loopback/cli.js';
import {
  broadcastCommand,
  explainCommand,
  fetchCommand,
  listCommand,
  listenCommand,
  reportError,
  requestCommand,
  sendCommand,
  watchCommand,
} from '../sender/cli/index.js';
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
    .command(explainCommand)
    .command(loopbackCommand),
  reportError,
);
