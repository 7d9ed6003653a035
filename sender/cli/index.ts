export { broadcastCommand } from './broadcast.js';
export { EXIT, reportError } from './exit.js';
export { explainCommand } from './explain.js';
export { fetchCommand } from './fetch.js';
export { listCommand } from './list.js';
export { listenCommand } from './listen.js';
export { requestCommand } from './request.js';
export { sendCommand } from './send.js';
export { watchCommand } from './watch.js';
