import type { CommandModule } from 'yargs';
import { deviceCommand } from './device.js';
import { importCommand } from './import.js';
import { lsCommand } from './ls.js';
import { newCommand } from './new.js';
import { operatorCommand } from './operator.js';
import { revokeCommand } from './revoke.js';
import { rotateCommand } from './rotate-command.js';

export const keysCommand: CommandModule<object, object> = {
  command: 'keys <action>',
  describe: 'Make, replace and revoke the keys of devices',
  builder: (yargs) =>
    yargs
      .command(newCommand)
      .command(deviceCommand)
      .command(lsCommand)
      .command(rotateCommand)
      .command(revokeCommand)
      .command(importCommand)
      .command(operatorCommand)
      .demandCommand(1),
  handler: () => undefined,
};
