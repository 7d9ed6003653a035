import type { Check } from './check.js';
import { configuration } from './checks/files/configuration.js';
import { disk } from './checks/files/disk.js';
import { handlers } from './checks/files/handlers.js';
import { journal } from './checks/files/journal.js';
import { modem } from './checks/modem/modem.js';
import { serial } from './checks/modem/serial.js';
import { allow } from './checks/network/allow.js';
import { buffer } from './checks/network/buffer.js';
import { firewall } from './checks/network/firewall.js';
import { networkInterface } from './checks/network/interface.js';
import { interfaceRules } from './checks/network/interface-rules.js';
import { port } from './checks/network/port.js';
import { route } from './checks/network/route.js';
import { security } from './checks/network/security.js';
import { agent } from './checks/service/agent.js';
import { clock } from './checks/service/clock.js';
import { log } from './checks/service/log.js';
import { service } from './checks/service/service.js';
import { watchdog } from './checks/service/watchdog.js';

/** All checks, in the order of the report: those that others depend on come first. */
export const CHECKS: readonly Check[] = [
  configuration,
  service,
  watchdog,
  agent,
  log,
  port,
  networkInterface,
  route,
  firewall,
  interfaceRules,
  allow,
  security,
  buffer,
  serial,
  modem,
  clock,
  disk,
  journal,
  handlers,
];
