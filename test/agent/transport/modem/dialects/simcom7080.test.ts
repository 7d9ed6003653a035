import { describeModem } from './suite.js';

describeModem('simcom7080');
