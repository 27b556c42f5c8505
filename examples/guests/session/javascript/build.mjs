// Makes a component of app.js: node build.mjs OUT
import { componentize } from "@bytecodealliance/componentize-js";
import { writeFile } from "node:fs/promises";

const { component } = await componentize({ sourcePath: "app.js", witPath: "../wit", worldName: "session" });
await writeFile(process.argv[2], component);
