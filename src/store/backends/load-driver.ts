import { Fault } from '#kernel';

/** Loads an optional package. @throws {Fault} `invalid_setting` that says how to get it */
export async function loadDriver<T>(name: string, load: () => Promise<T>): Promise<T> {
  try {
    return await load();
  } catch (error) {
    if (!(error instanceof Error && 'code' in error && error.code === 'ERR_MODULE_NOT_FOUND')) throw error;
    const detail = `the database of GATEHOUSE_DATABASE_URL is spoken to with the package ${name}, which is not installed`;
    throw new Fault('invalid_setting', { detail, hint: `install it beside gatehouse: npm i ${name}`, cause: error });
  }
}
