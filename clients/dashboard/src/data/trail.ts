/** The list that the reader came from: the ids in its order, so that `j` and `k` walk along it. */
let listed: readonly string[] = [];

/** A list is shown: these are its runs. */
export function noteListed(ids: readonly string[]): void {
  listed = ids;
}

/** The run below and above in the list that the reader came from; `instead` is used when it does not stand there. */
export function neighbours(id: string, instead: readonly string[]): { older: string | undefined; newer: string | undefined } {
  const ids = listed.includes(id) ? listed : instead;
  const at = ids.indexOf(id);
  return at < 0 ? { older: undefined, newer: undefined } : { older: ids[at + 1], newer: at > 0 ? ids[at - 1] : undefined };
}
