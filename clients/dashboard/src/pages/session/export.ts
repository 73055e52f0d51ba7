import type { ExportSessionResponse, SessionManifest } from "@reprise/client";

/** A conversation that was read as an archive. */
export interface SessionArchive {
  manifest: SessionManifest | undefined;
  blob: Blob;
  /** Whether the digest was compared: browsers do so only on HTTPS and on localhost. */
  checked: boolean;
}

/** Puts the pieces of an export together and compares them with the digest at its end. */
export async function assemble(
  parts: AsyncIterable<ExportSessionResponse>,
  progress: (bytes: number) => void = () => {},
): Promise<SessionArchive> {
  let manifest: SessionManifest | undefined;
  let digest: { sha256: string; sizeBytes: bigint } | undefined;
  const chunks: Uint8Array<ArrayBuffer>[] = [];
  let size = 0;
  for await (const { part } of parts) {
    if (part.case === "manifest") manifest = part.value;
    else if (part.case === "chunk") {
      if (part.value.offset !== BigInt(size))
        throw new Error(`a piece is missing: ${size} bytes came, the next begins at ${part.value.offset}`);
      chunks.push(new Uint8Array(part.value.data));
      size += part.value.data.length;
      progress(size);
    } else if (part.case === "digest") digest = part.value;
  }
  if (!digest) throw new Error("the export ended before its digest came");
  if (digest.sizeBytes !== BigInt(size)) throw new Error(`the archive has ${size} bytes, its digest says ${digest.sizeBytes}`);
  const blob = new Blob(chunks, { type: "application/zstd" });
  const sum = await sha256(blob);
  if (sum !== undefined && sum !== digest.sha256) throw new Error("the archive is damaged: its SHA-256 is not that of the server");
  return { manifest, blob, checked: sum !== undefined };
}

async function sha256(blob: Blob): Promise<string | undefined> {
  if (!globalThis.crypto?.subtle) return undefined;
  const digest = await crypto.subtle.digest("SHA-256", await blob.arrayBuffer());
  return Array.from(new Uint8Array(digest), (one) => one.toString(16).padStart(2, "0")).join("");
}

/** Hands a blob to the person as a file. */
export function download(blob: Blob, name: string): void {
  const url = URL.createObjectURL(blob);
  const link = document.createElement("a");
  link.href = url;
  link.download = name;
  link.click();
  // The browser has taken it by then.
  setTimeout(() => URL.revokeObjectURL(url), 60_000);
}

/** A file name for the archive of a thread: `acme-shop-412-gen2.tar.zst`. */
export function archiveName(threadKey: string, generation: number): string {
  const plain = threadKey.replaceAll(/[^A-Za-z0-9._-]+/g, "-").replaceAll(/^[-.]+|[-.]+$/g, "");
  return `${plain.slice(0, 80) || "session"}-gen${generation}.tar.zst`;
}
