/**
 * Adds up the test runner's JSON reports in a folder: prints each failed test with the beginning of its message, then
 * `N passed, N failed`. A skipped test counts as failed.
 */
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';

const [folder = '.'] = process.argv.slice(2);
const reports = readdirSync(folder).map((name) => JSON.parse(readFileSync(join(folder, name), 'utf8')));
const MAX_MESSAGE_LENGTH = 1_500;

const sum = (figure) => reports.reduce((total, report) => total + report[figure], 0);
const files = reports.flatMap((report) => report.testResults);
const tests = files.flatMap((file) => file.assertionResults.map((test) => ({ ...test, file: file.name })));
const print = (what, message) => console.log(`${what}\n${message.slice(0, MAX_MESSAGE_LENGTH)}`);

for (const { status, file, fullName, failureMessages } of tests) {
  if (status === 'failed') print(`failed: ${file}: ${fullName}`, failureMessages.join('\n'));
}
const skipped = tests.filter(({ status }) => !['passed', 'failed'].includes(status));
for (const test of skipped) console.log(`skipped, which counts as failed: ${test.fullName}`);
const brokenFiles = files.filter(
  ({ status, assertionResults }) => status === 'failed' && assertionResults.length === 0,
);
for (const { name, message = '' } of brokenFiles) print(`did not run: ${name}`, message);
const failed = sum('numFailedTests') + skipped.length + brokenFiles.length;
if (failed > 0 || sum('numPassedTests') === 0) process.exitCode = 1;
console.log(`${sum('numPassedTests')} passed, ${failed} failed`);
