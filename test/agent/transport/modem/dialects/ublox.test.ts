import { describeModem } from './suite.js';

describeModem('ublox');
