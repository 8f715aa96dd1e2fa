// Standard input (standard JSON) -> compiler -> standard output. Only the two calls forge makes are answered.
"use strict";
const fs = require("node:fs");
const solc = require("solc");

const flags = new Set(process.argv.slice(2));
if (flags.has("--version")) {
  fs.writeSync(1, `solc, the solidity compiler commandline interface\nVersion: ${solc.version()}\n`);
} else if (flags.has("--standard-json")) {
  // forge sends every source inside the request, so no import is ever looked up on disk.
  fs.writeFileSync(1, solc.compile(fs.readFileSync(0, "utf8")));
} else {
  process.stderr.write("only --version and --standard-json are answered\n");
  process.exitCode = 2;
}
