import type { Check } from './check.js';
import { agent } from './checks/agent.js';
import { allow } from './checks/allow.js';
import { buffer } from './checks/buffer.js';
import { clock } from './checks/clock.js';
import { configuration } from './checks/configuration.js';
import { disk } from './checks/disk.js';
import { firewall } from './checks/firewall.js';
import { handlers } from './checks/handlers.js';
import { networkInterface } from './checks/interface.js';
import { journal } from './checks/journal.js';
import { log } from './checks/log.js';
import { modem } from './checks/modem.js';
import { port } from './checks/port.js';
import { route } from './checks/route.js';
import { security } from './checks/security.js';
import { serial } from './checks/serial.js';
import { service } from './checks/service.js';
import { watchdog } from './checks/watchdog.js';

/** All checks, in the order in which they are told: what others depend on first. */
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
