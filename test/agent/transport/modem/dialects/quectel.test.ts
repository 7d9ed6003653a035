import { describeModem } from './suite.js';

describeModem('quectel');
