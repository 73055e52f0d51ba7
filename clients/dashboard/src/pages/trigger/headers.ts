/** Headers as they are typed: `name: value`, one a line. */
export function parseHeaders(text: string): { headers: { name: string; value: string }[]; problem?: string } {
  const headers: { name: string; value: string }[] = [];
  for (const [at, line] of text.split("\n").entries()) {
    if (line.trim() === "") continue;
    const colon = line.indexOf(":");
    const name = line.slice(0, colon).trim();
    if (colon < 1 || !/^[\w!#$%&'*+.^`|~-]+$/.test(name)) return { headers, problem: `line ${at + 1} is no header: write name: value` };
    headers.push({ name: name.toLowerCase(), value: line.slice(colon + 1).trim() });
  }
  return { headers };
}
