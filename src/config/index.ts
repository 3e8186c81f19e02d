/**
 * The settings table and what derives from it.
 *
 * Owns: the only list of settings, reading them from the environment and files, the production rules; where a process
 * keeps things and where it runs.
 * Leans on: nothing but the kernel.
 * Lives elsewhere: acting on a value; only `bin` reads them for the server.
 */
export { envExample, settingLines, settingsReference } from './derive.ts';
export { type Folders, foldersOf } from './folders.ts';
export { isApart, type Place, placeOfThisProcess, placeOfThisServer } from './place.ts';
export { isFileDatabase, isLoopback, productionProblems, productionRules } from './production.ts';
export {
  type Environment,
  type ReadOptions,
  type ReadSettings,
  readSettings,
  type Source,
  settingsFor,
  type TriedSettings,
  trySettings,
} from './read.ts';
export { type SettingKey, type Settings, settingsTable } from './settings.ts';
