import { parentPort, workerData } from 'node:worker_threads';
import { startWorker } from './worker.js';

if (parentPort !== null) startWorker(parentPort, workerData);
