import { expect, test } from 'vitest';
import { isFault } from '#kernel';
import { temporaryFolder } from '../../test/support/store.ts';
import { isInsideRun, refuseInsideRun, registerProgram } from './inside-run.ts';

test('the mark in the environment is enough', () => {
  expect(isInsideRun({ GATEHOUSE_RUN: 'run_1' }, '/nonexistent')).toBe(true);
  expect(isInsideRun({ GATEHOUSE_RUN: '' }, '/nonexistent')).toBe(false);
});

test('a program that unsets the mark is still known by its ancestors', async () => {
  const folder = temporaryFolder();
  expect(isInsideRun({}, folder)).toBe(false);
  const strikeOut = await registerProgram(folder, process.ppid);
  expect(isInsideRun({}, folder)).toBe(true);
  try {
    refuseInsideRun({}, folder);
    expect.unreachable();
  } catch (error) {
    expect(isFault(error, 'inside_run')).toBe(true);
  }
  strikeOut();
  strikeOut();
  expect(isInsideRun({}, folder)).toBe(false);
});
