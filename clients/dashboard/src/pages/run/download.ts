import { toJsonString } from "@bufbuild/protobuf";
import { JournalEntrySchema, RepriseError } from "@reprise/client";
import { ask } from "../../components/dialog.tsx";
import { reprise } from "../../data/api.ts";

/** Gives the person a file. */
export function saveFile(name: string, parts: BlobPart[], type: string): void {
  const url = URL.createObjectURL(new Blob(parts, { type }));
  const link = document.createElement("a");
  link.href = url;
  link.download = name;
  link.click();
  // The browser has taken the file by the next turn.
  setTimeout(() => URL.revokeObjectURL(url), 10_000);
}

/** Downloads the agent's lines and standard error of a whole run, byte for byte. */
export async function downloadRun(runId: string): Promise<void> {
  await told("The run could not be downloaded", async () => {
    const parts: BlobPart[] = [];
    for await (const { data } of reprise.runs.exportRun({ runId })) parts.push(data as Uint8Array<ArrayBuffer>);
    saveFile(`${runId}.jsonl.zst`, parts, "application/zstd");
  });
}

/** Downloads the agent's line behind an entry; what the server made itself is given as JSON. */
export async function downloadEntry(runId: string, sequence: number): Promise<void> {
  await told("The entry could not be downloaded", async () => {
    const { entries } = await reprise.runs.listJournalEntries({
      runId,
      includeRaw: true,
      pageSize: 1,
      position: { case: "afterSequence", value: sequence - 1 },
    });
    const entry = entries.find((one) => one.sequence === sequence);
    if (!entry) return;
    const text = entry.raw || toJsonString(JournalEntrySchema, entry, { prettySpaces: 2 });
    saveFile(`${runId}.${sequence}.json`, [text, "\n"], "application/json");
  });
}

async function told(title: string, work: () => Promise<void>): Promise<void> {
  try {
    await work();
  } catch (thrown) {
    const error = RepriseError.from(thrown);
    await ask({
      title,
      body: `${error.reason ? `${error.reason}: ` : ""}${error.message}${error.traceId ? ` (trace ${error.traceId})` : ""}`,
      confirm: "Close",
    });
  }
}
