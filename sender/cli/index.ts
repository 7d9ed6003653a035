export { EXIT, reportError } from './exit.js';
export { fetchCommand } from './fetch.js';
export { listCommand } from './list.js';
export { sendCommand } from './send.js';
export { watchCommand } from './watch.js';
