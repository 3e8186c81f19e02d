// npm run build: the published package's programs, each room and each package in few files, and their types, in dist/.
import { spawnSync } from 'node:child_process';
import { readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { type OutputChunk, type Plugin, rolldown } from 'rolldown';
import { catalogueFolder, loadCatalogue } from '#connect';
import { root } from './source/files.ts';

const dist = join(root, 'dist');

/** What is started, or imported, by its path. */
const entries = ['bin/gatehouse', 'bin/library', 'verify/index', 'cli/run/enclosure'];

/** Has an addon of its own, so it stays a package beside ours. */
const apart = /^@node-rs\//;

/** Drivers that an operator adds, and that are loaded only when a setting asks. */
const { peerDependencies } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as { readonly peerDependencies: object };
const drivers = Object.keys(peerDependencies).map((name) => new RegExp(`^${name}(/|$)`));

/** Where an import statement would fill in what these modules hold back until it is asked for: a whole fetch, a whole WebCrypto. */
const heldBack = ['node:http', 'node:crypto'];

/** Takes them from the process, without those parts. */
const builtins: Plugin = {
  name: 'builtins',
  resolveId: (id, importer) => (importer !== undefined && heldBack.includes(id) ? `\0${id}` : undefined),
  load(id) {
    const name = id.slice(1);
    if (!id.startsWith('\0') || !heldBack.includes(name)) return undefined;
    const parts = Object.entries(Object.getOwnPropertyDescriptors(process.getBuiltinModule(name) as object));
    const plain = parts.filter(([part, { get }]) => get === undefined && part !== 'default').map(([part]) => part);
    return `const builtin = process.getBuiltinModule('${name}');\nexport const { ${plain.join(', ')} } = builtin;\nexport default builtin;\n`;
  },
};

/** Everything that they reach, this package's dependencies with it: a start opens a dozen files, not a thousand. */
async function bundle(): Promise<readonly OutputChunk[]> {
  const bundled = await rolldown({
    cwd: root,
    input: Object.fromEntries(entries.map((name) => [name, join(root, 'src', `${name}.ts`)])),
    platform: 'node',
    plugins: [builtins],
    resolve: { mainFields: ['module', 'main'], conditionNames: ['gatehouse-source', 'node', 'import', 'default'] },
    external: [apart, ...drivers],
  });
  const { output } = await bundled.write({ dir: dist, format: 'esm', entryFileNames: '[name].js', chunkFileNames: 'bin/[name].js' });
  return output.filter((one) => one.type === 'chunk');
}

/** The shipped definitions, checked. */
function catalogue(): string {
  return JSON.stringify([...loadCatalogue(catalogueFolder()).values()].map(({ source: _, digest: __, ...definition }) => definition));
}

/** The licences of the packages in the bundle ask to be shipped with it. */
function notices(chunks: readonly OutputChunk[]): string {
  const folders = chunks.flatMap(({ moduleIds }) => moduleIds.flatMap((id) => /^.*\/node_modules\/(?:@[^/]+\/)?[^/]+/.exec(id)?.[0] ?? []));
  const texts = [...new Set(folders)].sort().map((folder) => {
    const { name, version, license } = JSON.parse(readFileSync(join(folder, 'package.json'), 'utf8')) as Record<string, string>;
    const files = readdirSync(folder).filter((file) => /^(licen[cs]e|notice|copying)/i.test(file));
    return [`${name} ${version}, ${license}`, ...files.map((file) => readFileSync(join(folder, file), 'utf8').trim())].join('\n\n');
  });
  return `${texts.join(`\n\n${'-'.repeat(80)}\n\n`)}\n`;
}

rmSync(dist, { recursive: true, force: true });
const typed = spawnSync(join(root, 'node_modules', '.bin', 'tsc'), ['-p', 'tsconfig.build.json'], { cwd: root, stdio: 'inherit' });
if (typed.status !== 0) process.exit(typed.status ?? 1);
writeFileSync(join(dist, 'licenses.txt'), notices(await bundle()));
writeFileSync(join(dist, 'bin', 'providers.json'), catalogue());
process.stdout.write('built dist/\n');
