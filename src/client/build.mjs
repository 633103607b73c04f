// Makes what ships out of the sources here: node src/client/build.mjs [folder]
//
// Types are checked and erased by tsc, which writes the .d.ts too; partstream.js is
// then made small. The packages are those of tests/js.

import { mkdir, writeFile } from "node:fs/promises";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

const HERE = dirname(fileURLToPath(import.meta.url));
const SHIPPED = join(HERE, "../django_partstream/static/django_partstream");
const NOTE = "/*! django-partstream, MIT. Made from src/client/partstream.ts. */\n";

const require = createRequire(join(HERE, "../../tests/js/package.json"));
const ts = require("typescript");
const { minify } = require("terser");

const folder = process.argv[2] ?? SHIPPED;
await mkdir(folder, { recursive: true });

for (const [name, text] of compiled(join(HERE, "tsconfig.json"))) {
  const whole = name === "partstream.js" ? NOTE + (await small(text)) : text;

  // Types have no code.
  if (name !== "types.js") {
    await writeFile(join(folder, name), whole);
  }
}

function compiled(config) {
  const { config: options } = ts.readConfigFile(config, ts.sys.readFile);
  const { fileNames, options: parsed } = ts.parseJsonConfigFileContent(
    options,
    ts.sys,
    HERE,
  );
  const program = ts.createProgram(fileNames, parsed);
  const files = new Map();
  const { diagnostics } = program.emit(undefined, (path, text) =>
    files.set(path.split("/").at(-1), text),
  );
  const problems = [...ts.getPreEmitDiagnostics(program), ...diagnostics];

  if (problems.length) {
    const host = {
      getCanonicalFileName: (name) => name,
      getCurrentDirectory: () => HERE,
      getNewLine: () => "\n",
    };
    process.stderr.write(ts.formatDiagnostics(problems, host));
    process.exit(1);
  }

  return files;
}

async function small(text) {
  const { code } = await minify(text, { module: true, ecma: 2022 });
  return `${code}\n`;
}
