import { type ChildProcess, execFileSync, spawn } from "node:child_process";
import { existsSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { type AddressInfo, createServer, connect as dial, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

const built = (name: string) => fileURLToPath(new URL(`../../../target/debug/${name}`, import.meta.url));
const binary = process.env["REPRISE_TEST_BINARY"] ?? built("reprise");
const agent = process.env["REPRISE_TEST_FAKE_CLAUDE"] ?? built("fake-claude");

/** Whether there is a server to test against; `cargo build --workspace` makes one. */
export const hasServer = existsSync(binary) && existsSync(agent);

/** The admin key of every test server. */
export const KEY = "rk_0000000000000000000000000000000000000000000000000000000000000001";

/** The real server with an agent that needs no model, on a free port of loopback. */
export class TestServer {
  readonly address: string;
  /** Its certificate, as PEM; empty without TLS. */
  readonly certificate: string;
  readonly #process: ChildProcess;
  readonly #home: string;

  private constructor(process: ChildProcess, home: string, address: string, certificate: string) {
    this.#process = process;
    this.#home = home;
    this.address = address;
    this.certificate = certificate;
  }

  static async start(options: { tls?: boolean } = {}): Promise<TestServer> {
    const home = mkdtempSync(join(tmpdir(), "reprise-client-"));
    const env: NodeJS.ProcessEnv = { ...process.env, REPRISE__AGENT__CLAUDE__COMMAND: agent, REPRISE__AUTH__ADMIN_KEY: KEY };
    let certificate = "";
    if (options.tls) {
      const [crt, key] = [join(home, "server.crt"), join(home, "server.key")];
      const subject = ["-subj", "/CN=localhost", "-addext", "subjectAltName=IP:127.0.0.1,DNS:localhost"];
      execFileSync(
        "openssl",
        [
          "req",
          "-x509",
          "-newkey",
          "ec",
          "-pkeyopt",
          "ec_paramgen_curve:prime256v1",
          "-nodes",
          "-days",
          "1",
          "-keyout",
          key,
          "-out",
          crt,
          ...subject,
        ],
        { stdio: "ignore" },
      );
      Object.assign(env, { REPRISE__SERVER__TLS__CERTIFICATE_FILE: crt, REPRISE__SERVER__TLS__KEY_FILE: key });
      certificate = readFileSync(crt, "utf8");
    }
    const child = spawn(binary, ["serve", "--data-dir", join(home, "data"), "--listen", "127.0.0.1:0"], {
      env,
      stdio: ["ignore", "pipe", "pipe"],
    });
    const address = await readyAddress(child);
    return new TestServer(child, home, address, certificate);
  }

  async stop(): Promise<void> {
    const ended = new Promise((resolve) => this.#process.once("exit", resolve));
    this.#process.kill("SIGTERM");
    await ended;
    rmSync(this.#home, { recursive: true, force: true });
  }
}

function readyAddress(child: ChildProcess): Promise<string> {
  return new Promise((resolve, reject) => {
    let seen = "";
    const look = (data: Buffer) => {
      seen += data.toString();
      const ready = /^ready on (\S+)/m.exec(seen)?.[1];
      if (ready) resolve(ready);
    };
    child.stdout?.on("data", look);
    child.stderr?.on("data", look);
    child.once("exit", (code) => reject(new Error(`the server ended with ${code}: ${seen}`)));
    child.once("error", reject);
  });
}

/** A wire between client and server that can be cut. */
export class Wire {
  readonly #sockets = new Set<Socket>();
  readonly #server;
  address = "";

  constructor(to: string) {
    const target = new URL(to);
    this.#server = createServer((near) => {
      const far = dial(Number(target.port), target.hostname);
      for (const socket of [near, far]) {
        this.#sockets.add(socket);
        socket.on("error", () => {});
        socket.on("close", () => this.#sockets.delete(socket));
      }
      near.pipe(far).pipe(near);
    });
  }

  async open(): Promise<void> {
    await new Promise<void>((resolve) => this.#server.listen(0, "127.0.0.1", resolve));
    this.address = `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  /** Cuts every connection, without a goodbye. */
  cut(): void {
    for (const socket of this.#sockets) socket.destroy();
  }

  close(): void {
    this.cut();
    this.#server.close();
  }
}
