// What Python sent, by name. Layers that arrive later under the same key are added to those that are here.
class Trace {
  constructor() { this.key = null; this.held = new Map(); }

  take(message) {   // what this message is beside the last one: "new", "grown" by a token, the same text "again", or "more" of it
    const known = this.tokens || [], starts = known.every(([id], i) => id === message.tokens[i]?.[0]) && this.title === message.title;
    const kind = !starts || !known.length ? "new" : message.key === this.key ? "more" : message.tokens.length === known.length ? "again"
      : message.tokens.length === known.length + 1 ? "grown" : "new";
    if (kind !== "more") { this.held = new Map(); this.ranges = new Map(); }
    Object.assign(this, message);
    message.layers.forEach((l, k) => { this.held.set(l, { arrays: message.arrays, k }); });
    this.n = this.tokens.length;
    this.headless = !this.arrays["odds.logits"];   // an encoder: it ends in vectors
    this.unmasked = this.arrays.mask.every((may) => may);
    const writes = [...this.arrays["length.attention.out"], ...this.arrays["length.ffn.out"]].sort((a, b) => a - b);
    const usual = writes[Math.floor(0.975 * (writes.length - 1))];
    this.most = writes.at(-1);
    this.cap = this.most > 2 * usual ? usual : this.most;   // a few writes can be a hundred times the others: those are cut
    return kind;
  }

  has(l) { return this.held.has(l); }
  kv(h) { return Math.floor((h * this.n_kv_heads) / this.n_heads); }   // the key/value head that query head h reads

  array(l, name) {   // one layer's part of a stacked array, without copying
    const { arrays, k } = this.held.get(l), whole = arrays[name];
    const size = whole.length / whole.shape[0], part = whole.subarray(k * size, (k + 1) * size);
    part.shape = whole.shape.slice(1);
    return part;
  }

  block(l, id, head) {   // the strips of one stage, one row a token: {values, rows, cols}
    const array = this.array(l, `layer.${id}`), cols = array.shape.at(-1);
    if (array.shape.length === 2) return { values: array, rows: this.n, cols };
    const heads = array.shape[0], at = (heads === this.n_heads ? head : this.kv(head)) * this.n * cols;
    return { values: array.subarray(at, at + this.n * cols), rows: this.n, cols };
  }

  end(name) { const a = this.arrays[`end.${name}`]; return a && { values: a, rows: this.n, cols: a.shape[1] }; }
  score(l, h, i, j) { return this.block(l, "attention.scores", h).values[i * this.n + j]; }
  weight(l, h, i, j) { return this.block(l, "attention.A", h).values[i * this.n + j]; }
  masked(i, j) { return !this.arrays.mask[i * this.n + j]; }
  visible(i) { let k = 0; for (let j = 0; j < this.n; j++) k += this.arrays.mask[i * this.n + j]; return k; }
  length(name, l, row) { return this.arrays[`length.${name}`][l * this.n + row]; }
  stream(l, row) { return l === 0 ? this.arrays["length.embed"][row] : this.length("resid_post", l - 1, row); }

  exact(l, id, h, row) {   // q or k of one token, every dimension
    const array = this.array(l, `exact.${id}`), heads = array.shape[0], d = array.shape[2];
    const at = ((heads === this.n_heads ? h : this.kv(h)) * this.n + row) * d;
    return array.subarray(at, at + d);
  }

  terms(l, h, i, j) {   // q_d k_d of the largest size first: [dimension, q, k]
    const q = this.exact(l, "attention.Q", h, i), k = this.exact(l, "attention.K", h, j);
    return Array.from(q, (value, d) => [d, value, k[d]]).sort((a, b) => Math.abs(b[1] * b[2]) - Math.abs(a[1] * a[2]));
  }

  range(name, { values }) {   // where a strip's colours saturate: all but its largest 3 %
    if (!this.ranges.has(name)) {
      const sizes = Float32Array.from(values, Math.abs).sort();
      this.ranges.set(name, sizes[Math.floor(0.97 * (sizes.length - 1))] || 1);
    }
    return this.ranges.get(name);
  }

  share(length) { return Math.min(1, Math.sqrt(length / this.cap)) || 0; }   // 0..1: how tall a write is drawn

  probabilities(t, row) {
    const a = this.arrays["odds.probabilities"];
    if (!a || !a.length) return [];
    const [, n, k] = a.shape;
    return a.subarray((t * n + row) * k, (t * n + row + 1) * k);
  }
  logits(row) { const a = this.arrays["odds.logits"], k = a.shape[1]; return a.subarray(row * k, (row + 1) * k); }

  reads(l, h, row) {   // [key, weight], the largest first
    return Array.from({ length: this.n }, (_, j) => [j, this.weight(l, h, row, j)]).sort((a, b) => b[1] - a[1]);
  }

  piece(row) { return this.tokens[row][1]; }
  quoted(row) { return `‘${gf.chipText(this.piece(row)).replace(/^·/, " ").trim() || gf.chipText(this.piece(row))}’`; }
}
