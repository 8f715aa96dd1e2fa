// Unpacks the Chromium that the npm package carries, with its libraries and fonts, into the folder given,
// and writes `launch` there: the command that starts it on any machine, needing nothing else installed.
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";

const folder = process.argv[2];
mkdirSync(folder, { recursive: true });
process.env.TMPDIR = folder; // where the package unpacks to
process.env.AWS_EXECUTION_ENV = "AWS_Lambda_nodejs22.x"; // it unpacks its libraries only where it expects none
const { default: chromium } = await import("@sparticuz/chromium");
await chromium.executablePath();

writeFileSync(
  join(folder, "fonts", "fonts.conf"),
  `<?xml version="1.0"?>
<!DOCTYPE fontconfig SYSTEM "fonts.dtd">
<fontconfig>
  <dir prefix="relative">fonts</dir>
  <dir>/usr/share/fonts</dir>
  <cachedir prefix="relative">cache</cachedir>
</fontconfig>
`,
);
// Without a sandbox and with graphics in its own process, since containers allow neither; it opens our pages only.
writeFileSync(
  join(folder, "launch"),
  `#!/bin/sh
here=$(dirname "$0")
export LD_LIBRARY_PATH="$here/al2023/lib" FONTCONFIG_PATH="$here/fonts"
exec "$here/chromium" --no-sandbox --no-zygote --in-process-gpu --use-gl=angle --use-angle=swiftshader "$@"
`,
  { mode: 0o755 },
);
