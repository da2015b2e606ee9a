// Builds ../static/vendor from the packages that package-lock.json fixes:
//   npm ci && npm run build
// The result is committed, so that running Salience needs neither npm nor the network.

import { createHash } from "node:crypto";
import { copyFileSync, existsSync, mkdirSync, readFileSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { build } from "esbuild";

const VENDOR = "../static/vendor";
const TEST_ASSETS = "../../tests/browser/assets";

function meta(name) {
  return JSON.parse(readFileSync(join("node_modules", name, "package.json"), "utf8"));
}

function licence(name) {
  const file = readdirSync(join("node_modules", name)).find((entry) => /^licen[cs]e(\.|$)/i.test(entry));
  if (!file) throw new Error(`${name} has no licence file`);
  return readFileSync(join("node_modules", name, file), "utf8").trim();
}

/** The packages whose code is in the bundle, told by the paths that esbuild read. */
function packagesOf(metafile) {
  const names = new Set();
  for (const input of Object.keys(metafile.inputs)) {
    const found = /node_modules\/((?:@[^/]+\/)?[^/]+)\//.exec(input);
    if (found) names.add(found[1]);
  }
  return [...names].sort();
}

function writeLicences(target, names) {
  const texts = names.map((name) => `${name} ${meta(name).version} (${meta(name).license})\n\n${licence(name)}\n`);
  writeFileSync(target, texts.join(`\n${"-".repeat(100)}\n\n`));
}

function writeSums(folder) {
  const files = readdirSync(folder).filter((name) => name !== "SHA256SUMS").sort();
  const lines = files.map((name) => `${createHash("sha256").update(readFileSync(join(folder, name))).digest("hex")}  ${name}`);
  writeFileSync(join(folder, "SHA256SUMS"), `${lines.join("\n")}\n`);
}

if (existsSync(VENDOR)) rmSync(VENDOR, { recursive: true });
mkdirSync(VENDOR, { recursive: true });

const result = await build({
  entryPoints: ["codemirror.js"],
  outfile: join(VENDOR, "codemirror.js"),
  bundle: true,
  format: "esm",
  minify: true,
  target: "es2022",
  legalComments: "none", // the whole licences are in LICENCES.txt
  metafile: true,
});
copyFileSync("node_modules/htmx.org/dist/htmx.min.js", join(VENDOR, "htmx.min.js"));
// The copy's last line names a source map that is not shipped; a browser with open tools would ask for it in vain.
const htmx = readFileSync(join(VENDOR, "htmx.min.js"), "utf8").replace(/\n?\/\/# sourceMappingURL=.*\s*$/, "\n");
writeFileSync(join(VENDOR, "htmx.min.js"), htmx);
writeLicences(join(VENDOR, "LICENCES.txt"), [...packagesOf(result.metafile), "htmx.org"]);
writeSums(VENDOR);

mkdirSync(TEST_ASSETS, { recursive: true });
copyFileSync("node_modules/axe-core/axe.min.js", join(TEST_ASSETS, "axe.min.js"));
copyFileSync("node_modules/axe-core/LICENSE", join(TEST_ASSETS, "axe.LICENSE.txt"));
copyFileSync("node_modules/axe-core/LICENSE-3RD-PARTY.txt", join(TEST_ASSETS, "axe.LICENSE-3RD-PARTY.txt"));
writeSums(TEST_ASSETS);
