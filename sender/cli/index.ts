export { fetchCommand } from './api/fetch.js';
export { listCommand } from './api/list.js';
export { sendCommand } from './api/send.js';
export { watchCommand } from './api/watch.js';
export { EXIT, reportError } from './exit.js';
export { explainCommand } from './explain.js';
export { broadcastCommand } from './fleet/broadcast.js';
export { listenCommand } from './listen.js';
export { requestCommand } from './request.js';
