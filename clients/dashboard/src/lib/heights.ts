/**
 * Heights of the rows of a long list, with their sums: where a row begins, and which row stands at a place, in
 * logarithmic time (a Fenwick tree). Rows may be added at the end one by one; anything else builds the sums anew.
 */
export class Heights {
  #values = new Float64Array(1024);
  // Node i holds the sum of the rows (i − lowbit(i), i], counted from 1.
  #tree = new Float64Array(1025);
  #count = 0;

  /** How many rows there are. */
  get count(): number {
    return this.#count;
  }

  /** Height of all rows. */
  get total(): number {
    return this.offset(this.#count);
  }

  /** Height of a row. */
  get(index: number): number {
    return this.#values[index] ?? 0;
  }

  /** Where a row begins. */
  offset(index: number): number {
    let sum = 0;
    for (let at = Math.min(index, this.#count); at > 0; at -= at & -at) sum += this.#tree[at] ?? 0;
    return sum;
  }

  /** The row at a place: the last one that begins at it or before. */
  indexAt(place: number): number {
    let at = 0;
    let rest = place;
    for (let step = highestBit(this.#count); step > 0; step >>= 1) {
      const next = at + step;
      const sum = this.#tree[next] ?? 0;
      if (next <= this.#count && sum <= rest) {
        at = next;
        rest -= sum;
      }
    }
    return Math.max(0, Math.min(at, this.#count - 1));
  }

  /** Notes the height of a row; true if it is another one than before. */
  set(index: number, height: number): boolean {
    const change = height - this.get(index);
    if (change === 0 || index >= this.#count) return false;
    this.#values[index] = height;
    for (let at = index + 1; at <= this.#count; at += at & -at) this.#tree[at] = (this.#tree[at] ?? 0) + change;
    return true;
  }

  /** Adds a row at the end. */
  push(height: number): void {
    if (this.#count === this.#values.length) this.#grow(this.#count * 2);
    const at = this.#count + 1;
    this.#values[this.#count] = height;
    const before = this.offset(at - 1) - this.offset(at - (at & -at));
    this.#count = at;
    this.#tree[at] = before + height;
  }

  /** Replaces all rows. */
  reset(heights: ArrayLike<number>): void {
    if (heights.length > this.#values.length) this.#grow(heights.length * 2);
    this.#count = heights.length;
    this.#tree.fill(0);
    for (let at = 1; at <= this.#count; at += 1) {
      const height = heights[at - 1] ?? 0;
      this.#values[at - 1] = height;
      this.#tree[at] = (this.#tree[at] ?? 0) + height;
      const parent = at + (at & -at);
      if (parent <= this.#count) this.#tree[parent] = (this.#tree[parent] ?? 0) + (this.#tree[at] ?? 0);
    }
  }

  #grow(capacity: number): void {
    const [values, tree] = [this.#values, this.#tree];
    this.#values = new Float64Array(capacity);
    this.#values.set(values);
    this.#tree = new Float64Array(capacity + 1);
    this.#tree.set(tree);
  }
}

function highestBit(count: number): number {
  return count === 0 ? 0 : 2 ** Math.floor(Math.log2(count));
}
