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
for (const file of reports.flatMap((report) => report.testResults)) {
  for (const { status, fullName, failureMessages } of file.assertionResults) {
    if (status !== 'failed') continue;
    console.log(`failed: ${file.name}: ${fullName}\n${failureMessages.join('\n').slice(0, MAX_MESSAGE_LENGTH)}`);
  }
}
const skipped = reports.flatMap((report) =>
  report.testResults.flatMap((file) =>
    file.assertionResults.filter(({ status }) => !['passed', 'failed'].includes(status)),
  ),
);
for (const test of skipped) console.log(`skipped, which counts as failed: ${test.fullName}`);
const brokenFiles = reports.flatMap((report) =>
  report.testResults.filter((file) => file.status === 'failed' && file.assertionResults.length === 0),
);
for (const file of brokenFiles)
  console.log(`did not run: ${file.name}\n${(file.message ?? '').slice(0, MAX_MESSAGE_LENGTH)}`);
const failed = sum('numFailedTests') + skipped.length + brokenFiles.length;
if (failed > 0 || sum('numPassedTests') === 0) process.exitCode = 1;
console.log(`${sum('numPassedTests')} passed, ${failed} failed`);
