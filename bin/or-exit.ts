import { formatError } from '../shared/cli.js';

const EXIT_ERROR = 1;

/** Prints an error and returns the exit code for it. */
export type ErrorReport = (error: unknown) => number;

const reportPlainly: ErrorReport = (error) => {
  process.stderr.write(formatError(error));
  return EXIT_ERROR;
};

/** Runs a program; an error is reported, and ends the process with its exit code. */
export async function orExit(run: () => Promise<unknown>, report: ErrorReport = reportPlainly): Promise<void> {
  try {
    await run();
  } catch (error) {
    process.exit(report(error));
  }
}
