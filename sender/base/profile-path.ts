import { homedir } from 'node:os';
import { join } from 'node:path';

/** Returns `~/.config/supersim/profile.yaml`, or the same under XDG_CONFIG_HOME. */
export function defaultProfile(env: NodeJS.ProcessEnv): string {
  return join(env['XDG_CONFIG_HOME'] || join(env['HOME'] || homedir(), '.config'), 'supersim', 'profile.yaml');
}
