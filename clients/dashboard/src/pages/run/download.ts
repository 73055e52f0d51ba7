import { toJsonString } from "@bufbuild/protobuf";
import { JournalEntrySchema, RepriseError } from "@reprise/client";
import { ask } from "../../components/dialog.tsx";
import { reprise } from "../../data/api.ts";
import { saveStream, saveText } from "../../lib/download.ts";

/** Downloads the agent's lines and standard error of a whole run, byte for byte. */
export async function downloadRun(runId: string): Promise<void> {
  await told("The run could not be downloaded", async () => {
    await saveStream(`${runId}.jsonl.zst`, pieces(runId));
  });
}

async function* pieces(runId: string): AsyncIterable<Uint8Array> {
  for await (const { data } of reprise.runs.exportRun({ runId })) yield data;
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
    saveText(`${runId}.${sequence}.json`, `${text}\n`);
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
