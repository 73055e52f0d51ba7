/** Saves a stream of pieces as a file: exports, raw output. Tells how many bytes there are so far. */
export async function saveStream(name: string, pieces: AsyncIterable<Uint8Array>, onProgress?: (bytes: number) => void): Promise<void> {
  const parts: BlobPart[] = [];
  let bytes = 0;
  for await (const piece of pieces) {
    parts.push(new Uint8Array(piece));
    bytes += piece.length;
    onProgress?.(bytes);
  }
  saveBlob(name, new Blob(parts, { type: "application/octet-stream" }));
}

/** Saves a text as a file. */
export function saveText(name: string, text: string): void {
  saveBlob(name, new Blob([text], { type: "text/plain;charset=utf-8" }));
}

function saveBlob(name: string, blob: Blob): void {
  const address = URL.createObjectURL(blob);
  const link = document.createElement("a");
  link.href = address;
  link.download = name;
  link.click();
  // The browser has taken the file by the next turn of its loop; one minute is for slow ones.
  setTimeout(() => URL.revokeObjectURL(address), 60_000);
}
