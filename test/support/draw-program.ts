/** Draws 300 sequence numbers one after the other, as fast as it can, and prints them. */
import { openSecurity } from '../../sender/security/security.js';

// Numbers so far ahead of the clock are not waited for.
const security = openSecurity({ now: () => 0 });
const numbers: number[] = [];
while (numbers.length < 300) numbers.push(await security.draw());
security.close();
console.log(numbers.join('\n'));
