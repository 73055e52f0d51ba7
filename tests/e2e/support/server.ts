import { type ChildProcess, spawn } from "node:child_process";
import { createWriteStream, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { connect, type Reprise, signWebhook, type UnsignedWebhook } from "../../../clients/typescript/dist/node.js";

const ROOT = resolve(import.meta.dirname, "../../..");
const BIN = process.env["REPRISE_TEST_BIN"] ?? join(process.env["CARGO_TARGET_DIR"] ?? join(ROOT, "target"), "debug");
/** The first admin key of every server here. */
export const KEY = "rk_e2e0000000000000000000000000000000000000000000000000000000000001";

/** What the workspace has in place of a test suite: some colours, and an exit code. */
const CHECK = `#!/bin/sh
printf 'running 3 tests\\n'
printf 'test retry::backs_off ... \\033[32mok\\033[0m\\n'
printf 'test retry::gives_up ... \\033[32mok\\033[0m\\n'
printf 'test retry::delay_is_capped ... \\033[31mFAILED\\033[0m\\n\\n'
printf -- '---- \\033[1mretry::delay_is_capped\\033[0m ----\\n  left: \\033[33m187 ms\\033[0m\\n right: \\033[33m200 ms\\033[0m\\n'
exit 101
`;

/** Which agent a server runs: the real Claude Code with the offline model, or the test double for load. */
export type Agent = "claude" | "fake";

/** The real server on a free port of loopback, with a data directory and a model of its own. */
export class Server {
  readonly home = mkdtempSync(join(tmpdir(), "reprise-e2e-"));
  readonly agent: Agent;
  port = 0;
  #ownKeys = false;
  #model: ChildProcess | undefined;
  #server: ChildProcess | undefined;

  constructor(agent: Agent = "claude") {
    this.agent = agent;
  }

  get origin(): string {
    return `http://127.0.0.1:${this.port}`;
  }

  /** Calls with the admin key, or another one. */
  api(key = KEY): Reprise {
    return connect(this.origin, key);
  }

  /** Starts it; again on the same port when it ran before. */
  async start(): Promise<void> {
    if (this.port === 0) this.port = await freePort();
    const config = join(this.home, "reprise.toml");
    const workspace = join(this.home, "shop");
    mkdirSync(workspace, { recursive: true });
    writeFileSync(join(workspace, "cart.txt"), "two apples\n");
    writeFileSync(join(workspace, "check"), CHECK, { mode: 0o755 });
    writeFileSync(config, await this.#config(workspace));
    const env = this.#ownKeys ? process.env : { ...process.env, REPRISE__AUTH__ADMIN_KEY: KEY };
    this.#server = run(join(BIN, "reprise"), ["serve", "--config", config], join(this.home, "server.log"), env);
    await until(this.#server, () => this.#answers(), "the server");
  }

  /** Ends the server; what it holds stays. */
  async halt(): Promise<void> {
    await end(this.#server);
    this.#server = undefined;
  }

  /** Ends everything and removes its directory. */
  async stop(): Promise<void> {
    await this.halt();
    await end(this.#model);
    if (process.env["E2E_KEEP"]) console.log(`kept: ${this.home}`);
    else rmSync(this.home, { recursive: true, force: true });
  }

  /** Replaces every key by a new one, as an operator does while the server is down. */
  async replaceKeys(): Promise<string> {
    const printed = await output(join(BIN, "reprise"), ["key", "reset-admin", "--config", join(this.home, "reprise.toml")]);
    const key = /rk_[0-9A-Za-z_]+/.exec(printed)?.[0];
    if (!key) throw new Error(`no key was printed: ${printed}`);
    this.#ownKeys = true;
    return key;
  }

  /** The address that `reprise dashboard` prints, which signs in once. */
  async signInLink(): Promise<URL> {
    return new URL((await output(join(BIN, "reprise"), ["dashboard", "--address", this.origin, "--api-key", KEY])).trim());
  }

  /** Makes every session look as if it had last been used so many days ago. */
  async age(days: number): Promise<void> {
    await this.#sql(`UPDATE sessions SET last_use_time = last_use_time - ${days * 86_400_000_000}`);
  }

  /** Revokes every key while the server runs, as another server on the same database would. */
  async revokeKeys(): Promise<void> {
    await this.#sql("DELETE FROM api_keys");
  }

  async #sql(change: string): Promise<void> {
    const program = "import sqlite3, sys; d = sqlite3.connect(sys.argv[1], timeout=10); d.execute(sys.argv[2]); d.commit()";
    await output("python3", ["-c", program, join(this.home, "data/reprise.db"), change]);
  }

  /** Signs a webhook as its sender would and posts it to the trigger's address. */
  async post(url: string, secret: string, webhook: UnsignedWebhook): Promise<Response> {
    const { headers, body } = await signWebhook(secret, webhook);
    return await fetch(url, { method: "POST", headers, body: new Uint8Array(body) });
  }

  async #answers(): Promise<boolean> {
    return (await fetch(`${this.origin}/`).catch(() => undefined))?.ok === true;
  }

  async #config(workspace: string): Promise<string> {
    const lines = [
      `data_dir = "${join(this.home, "data")}"`,
      `[server]\nlisten = "127.0.0.1:${this.port}"\ndrain_timeout_seconds = 1`,
      `[workspaces]\nshop = "${workspace}"`,
      `[profiles.shell]\ndescription = "Runs commands"\npermission_mode = "dontAsk"\ntools = ["Read", "Bash"]\nallowed_tools = ["Bash"]`,
    ];
    if (this.agent === "fake") {
      lines.push(`[agent.claude]\ncommand = "${join(BIN, "fake-claude")}"`);
    } else {
      const claude = process.env["REPRISE_TEST_CLAUDE"] ?? join(ROOT, ".tools/claude/bin/claude");
      if (!existsSync(claude))
        throw new Error("REPRISE_TEST_CLAUDE names the real Claude Code; sh tests/tools/claude.sh .tools/claude fetches it");
      lines.push(`[agent.claude]\ncommand = "${claude}"`);
      lines.push(`[agent.claude.env]\nANTHROPIC_BASE_URL = "http://127.0.0.1:${await this.#modelPort()}"\nANTHROPIC_API_KEY = "offline"`);
    }
    return `${lines.join("\n\n")}\n`;
  }

  async #modelPort(): Promise<string> {
    const file = join(this.home, "model.port");
    if (!this.#model) {
      this.#model = run(join(BIN, "offline-model"), ["--port-file", file], join(this.home, "model.log"), process.env);
      await until(this.#model, async () => existsSync(file) && readFileSync(file, "utf8").trim() !== "", "the offline model");
    }
    return readFileSync(file, "utf8").trim();
  }
}

function run(command: string, args: string[], log: string, env: NodeJS.ProcessEnv): ChildProcess {
  const child = spawn(command, args, { env, stdio: ["ignore", "pipe", "pipe"] });
  const out = createWriteStream(log, { flags: "a" });
  child.stdout?.pipe(out, { end: false });
  child.stderr?.pipe(out, { end: false });
  return child;
}

async function end(child: ChildProcess | undefined): Promise<void> {
  if (!child || child.exitCode !== null || child.signalCode !== null) return;
  const ended = new Promise((done) => child.once("exit", done));
  child.kill("SIGTERM");
  const kill = setTimeout(() => child.kill("SIGKILL"), 8000);
  await ended;
  clearTimeout(kill);
}

async function output(command: string, args: string[]): Promise<string> {
  const child = spawn(command, args, { stdio: ["ignore", "pipe", "pipe"] });
  let [out, err] = ["", ""];
  child.stdout.on("data", (data: Buffer) => (out += data.toString()));
  child.stderr.on("data", (data: Buffer) => (err += data.toString()));
  const code = await new Promise((done) => child.once("close", done));
  if (code !== 0) throw new Error(`${args.join(" ")}: ${err}`);
  return out;
}

/** Asks again and again whether a process is ready, as long as it lives. */
async function until(child: ChildProcess, ready: () => Promise<boolean>, what: string): Promise<void> {
  const last = Date.now() + 30_000;
  while (!(await ready())) {
    if (child.exitCode !== null || Date.now() > last) throw new Error(`${what} did not start`);
    await new Promise((done) => setTimeout(done, 25));
  }
}

function freePort(): Promise<number> {
  return new Promise((done, failed) => {
    const probe = createServer().listen(0, "127.0.0.1", () => {
      const address = probe.address();
      const port = typeof address === "object" && address ? address.port : 0;
      probe.close(() => done(port));
    });
    probe.once("error", failed);
  });
}
