// Uses what a command has: arguments, variables, files, streams and clocks, as `command.c` does.
import { getArguments, getEnvironment } from "wasi:cli/environment@0.2.10";
import { getStdin } from "wasi:cli/stdin@0.2.10";
import { now as monotonic, subscribeDuration } from "wasi:clocks/monotonic-clock@0.2.10";
import { now as wall } from "wasi:clocks/wall-clock@0.2.10";
import { getDirectories } from "wasi:filesystem/preopens@0.2.10";

const FOLLOW = { symlinkFollow: true };

export const run = {
  run() {
    const [, ...given] = getArguments();
    console.log(`arguments: ${given.join(" ")}`);
    console.log(`variable: ${new Map(getEnvironment()).get("GREETING")}`);
    console.log(`input: ${decode(read(getStdin()))}`);

    const [[folder]] = getDirectories();
    const text = decode(read(folder.openAt(FOLLOW, "in.txt", {}, { read: true }).readViaStream(0n)));
    write(folder.openAt(FOLLOW, "out.txt", { create: true, truncate: true }, { write: true }), text.toUpperCase());
    console.log(`names: ${list(folder).sort().join(" ")}`);
    console.log(`outside: ${isRefused(folder, "../secret.txt") ? "refused" : "opened"}`);

    console.log(`time: ${wall().seconds}`);
    const before = monotonic();
    subscribeDuration(3_600_000_000_000n).block();
    console.log(`slept: ${(monotonic() - before) / 1_000_000_000n}`);
    console.error("done");
    if (given[0] === "fail") throw new Error("as the test wants");
  },
};

function read(stream) {
  const pieces = [];
  try {
    for (;;) pieces.push(...stream.blockingRead(4096n));
  } catch (error) {
    if (error.payload?.tag !== "closed") throw error;
  }
  return new Uint8Array(pieces);
}

function write(file, text) {
  const stream = file.writeViaStream(0n);
  stream.blockingWriteAndFlush(new TextEncoder().encode(text));
}

function list(folder) {
  const entries = folder.readDirectory();
  const names = [];
  for (let entry; (entry = entries.readDirectoryEntry()) !== undefined; ) names.push(entry.name);
  return names;
}

function isRefused(folder, path) {
  try {
    folder.openAt(FOLLOW, path, {}, { read: true });
  } catch {
    return true;
  }
  return false;
}

function decode(content) {
  return new TextDecoder().decode(content);
}
