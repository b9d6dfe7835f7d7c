/* The map in view, out of the tensors that were sent: lookups and products of two numbers, no more.

   matrix.of(app)              -> {values: Float32Array [query · key], most, exact} or null while its layer is on its way
   matrix.row(values, n, i), matrix.column(values, n, j)
   matrix.score(app, q, k)     -> {terms, S, sum, A}: the q·k products by dimension, their sum, and the softmax of the row
   matrix.arithmetic(app, q, k) -> lines of a tooltip: where the number of this cell comes from */
const matrix = (() => {
  const piece = (app, i) => app.shown[i];
  const inside = (array, index) => array.subarray(index * stride(array), (index + 1) * stride(array));
  const stride = (array) => array.shape.slice(1).reduce((a, b) => a * b, 1);

  function of(app) {
    const { data, view } = app, layer = app.layer(), n = data.n;
    if (view.scope === "rollout") return layer && found(layer.arrays.rollout, 1, true);
    if (view.scope === "average") {
      if (!layer) return null;
      return view.measure === "weights" ? found(layer.arrays.average, 1, true) : found(layer.arrays.average_valued, 0, true);
    }
    if (layer) {
      const A = inside(layer.arrays.A, view.head);
      if (view.measure === "weights") return found(A, 1, true);
      const norms = inside(layer.arrays.norms, view.head);
      return found(A.map((weight, i) => weight * norms[i % n]), 0, true);
    }
    // Until its layer is here: the head in small, if it was not pooled. 255·√share -> share.
    if (data.side !== n) return null;
    const index = view.layer * data.heads + view.head, valued = view.measure === "values";
    const bytes = data.arrays[valued ? "valued" : "weights"].subarray(index * n * n, (index + 1) * n * n);
    const most = valued ? data.arrays.most[index] : 1;
    return found(Float32Array.from(bytes, (b) => (b / 255) ** 2 * most), valued ? 0 : 1, false);
  }

  function found(values, most, exact) {   // most 0: the range is this picture's own
    if (!most) for (const value of values) if (value > most) most = value;
    return { values, most: most || 1, exact };
  }

  const row = (values, n, i) => Array.from(values.subarray(i * n, (i + 1) * n));
  const column = (values, n, j) => Array.from({ length: n }, (_, i) => values[i * n + j]);

  function score(app, q, k) {
    const layer = app.layer(), { data, view } = app;
    if (!layer || !data.factor || view.scope !== "head") return null;
    const { Q, K, A } = layer.arrays, d = Q.shape[2], n = data.n;
    const query = inside(Q, view.head).subarray(q * d, (q + 1) * d);
    const keys = inside(K, Math.floor(view.head / (data.heads / K.shape[0])));
    const products = (j) => Array.from(query, (x, i) => x * keys[j * d + i]);
    const S = (j) => products(j).reduce((a, b) => a + b, 0) * data.factor;
    let sum = 0;
    for (let j = 0; j < n; j++) if (data.arrays.mask[q * n + j]) sum += Math.exp(S(j));
    const pairs = Array.from(query, (x, i) => ({ d: i, q: x, k: keys[k * d + i], term: x * keys[k * d + i] * data.factor }));
    return { pairs, S: S(k), sum, A: inside(A, view.head)[q * n + k] };
  }

  function arithmetic(app, q, k) {
    const { data, view } = app, c = app.colours, n = data.n, now = app.matrix, i = q * n + k;
    const title = { text: `${piece(app, q)} reads ${piece(app, k)}: ${now ? gf.number(now.values[i]) : "…"}`, strong: true };
    if (!data.arrays.mask[i]) {
      return [{ text: `${piece(app, q)} cannot see ${piece(app, k)}`, strong: true },
        `${data.causal && k > q ? "it comes later: " : ""}masked before the softmax, weight 0`];
    }
    const layer = app.layer();
    if (!layer || !now) return [title];
    if (view.scope === "rollout") {
      return [title, `R[${q},${k}] = ${gf.number(now.values[i])}, R = Ã${sub(view.layer)} ⋯ Ã₀`,
        "Ã = ½ · mean over heads of A + ½ · I"];
    }
    if (view.scope === "average") return [title, average(app, layer, i, k)];
    const s = score(app, q, k), lines = [title];
    if (s) lines.push(...[sumOf(s, q, k, data), softmaxOf(s, q, k)].map((text) => ({ text, colour: c.attention })));
    if (view.measure === "values") {
      const norm = layer.arrays.norms[view.head * n + k], A = inside(layer.arrays.A, view.head)[i];
      lines.push({ text: `A · ‖v[${k}]‖ = ${gf.number(A)} · ${gf.number(norm)} = ${gf.number(A * norm)}`, colour: c.value });
    }
    return lines;
  }

  function sumOf(s, q, k, data) {
    const largest = [...s.pairs].sort((a, b) => Math.abs(b.term) - Math.abs(a.term)).slice(0, 3);
    const said = largest.map((p, i) => `${i ? (p.q * p.k < 0 ? "− " : "+ ") : p.q * p.k < 0 ? "−" : ""}`
      + `${gf.number(Math.abs(p.q))}·${gf.number(Math.abs(p.k))}`).join(" ");
    const rest = s.pairs.length - largest.length;
    return `S[${q},${k}] = (${said}${rest > 0 ? ` + ${rest} more` : ""})${data.divisor} = ${gf.number(s.S)}`;
  }

  const softmaxOf = (s, q, k) =>
    `A[${q},${k}] = e^${gf.number(s.S)} / Σ e^S = ${large(Math.exp(s.S))} / ${large(s.sum)} = ${gf.number(s.A)}`;
  const large = (x) => (x >= 1e4 && x < Infinity ? x.toExponential(2).replace("e+", "e") : gf.number(x));

  function average(app, layer, i, k) {
    const { data, view } = app, n = data.n, valued = view.measure === "values";
    const each = Array.from({ length: data.heads }, (_, h) =>
      inside(layer.arrays.A, h)[i] * (valued ? layer.arrays.norms[h * n + k] : 1));
    const said = each.slice(0, 4).map((x) => gf.number(x, 2)).join(" + ") + (each.length > 4 ? " + …" : "");
    return `mean of ${data.heads} heads: (${said}) / ${data.heads} = ${gf.number(app.matrix.values[i])}`;
  }

  const sub = (number) => String(number).replace(/\d/g, (d) => "₀₁₂₃₄₅₆₇₈₉"[d]);

  return { of, row, column, score, arithmetic, inside, sumOf, softmaxOf };
})();
