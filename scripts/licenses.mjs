/** Collects the licences of npm packages, which must be distributed with them. */
import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';

/** @param {string[]} folders the packages' folders */
export async function licensesOf(folders) {
  return (await Promise.all(folders.map(licenseOf))).join(`\n${'-'.repeat(80)}\n\n`);
}

async function licenseOf(folder) {
  const { name, version, license } = JSON.parse(await readFile(join(folder, 'package.json'), 'utf8'));
  const file = (await readdir(folder)).find((entry) => /^licen[cs]e/i.test(entry));
  return `${name} ${version}: ${license}\n\n${file === undefined ? '' : await readFile(join(folder, file), 'utf8')}`;
}
