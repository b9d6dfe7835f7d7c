// What the picture says about the place under the pointer: arithmetic with the numbers of this run.
const num = (x, digits = 3) => gf.number(x, digits);

function mapWords(trace, layer, head, i, j, c) {
  const title = { text: `${trace.quoted(i)} reads ${trace.quoted(j)}  ·  layer ${layer}, head ${head}`, strong: true };
  const S = trace.score(layer, head, i, j), A = trace.weight(layer, head, i, j), seen = trace.visible(i);
  const [a, b] = [`S[${i},${j}]`, `A[${i},${j}]`], root = `√${trace.d_head}`;
  const scaled = trace.scale !== 1, dot = S / trace.scale;
  const first = trace.terms(layer, head, i, j).slice(0, 3)
    .map(([, q, k]) => `${num(q)}·${num(k)}`.replace(/·−([\d.e]+)/, "·(−$1)"));
  const lines = [title,
    { text: `q·k = Σ of ${trace.d_head} products = ${num(dot, 4)}`, colour: c.query },
    { text: `      largest: ${first.join(" + ")} + …`, colour: c.muted },
    { text: scaled ? `${a} = q·k / ${root} = ${num(dot, 4)} / ${num(1 / trace.scale)} = ${num(S)}` : `${a} = q·k = ${num(S)}`, colour: c.scores }];
  if (trace.masked(i, j)) {
    lines.push({ text: `mask: ${trace.quoted(j)} ${j > i ? "comes later" : "is out of reach"}, so −∞ goes into the softmax`, colour: c.muted },
      { text: `${b} = 0`, colour: c.attention, strong: true });
    return lines;
  }
  const e = Math.exp(S), total = e / A;   // A = e^S / Σ e^S, so the row's sum follows from both
  const share = Number.isFinite(total) && total > 0 ? `e^${num(S)} / Σ e^S = ${num(e)} / ${num(total)} = ` : "e^S / Σ e^S = ";
  lines.push({ text: `${b} = ${share}${num(A)}`, colour: c.attention, strong: true },
    { text: `softmax over the ${seen} key${seen === 1 ? "" : "s"} that ${trace.quoted(i)} may see`, colour: c.muted });
  return lines;
}

function stripWords(trace, at, view) {
  const layer = at.where === "layer", block = layer ? trace.block(at.layer, at.name, view.head) : trace.end(at.name);
  const cell = clamp(Math.floor(at.along * block.cols), 0, block.cols - 1);
  const dims = layer ? trace.dims[at.name] : trace.d_model, small = Math.floor(dims / block.cols), extra = dims % block.cols;
  const from = cell * small + Math.min(cell, extra), count = small + (cell < extra ? 1 : 0);
  const entry = trace.stages[at.stage], value = block.values[at.row * block.cols + cell];
  const where = layer ? `layer ${at.layer}` : "", head = !layer || block.cols === 0 ? "" : headWords(trace, at.name, view.head);
  const lines = [{ text: `${plainSymbol(entry.symbol)}  ${entry.meaning}`, strong: true },
    [trace.quoted(at.row), where, head].filter(Boolean).join("  ·  "),
    count > 1 ? `mean of dimensions ${from}–${from + count - 1} = ${num(value)}` : `dimension ${from} = ${num(value)}`,
    `${block.cols} cells, each the mean of ${small}${extra ? " or " + (small + 1) : ""} of ${dims} dimensions`];
  if (block.cols === dims) lines.pop();
  return lines;
}

function headWords(trace, name, head) {
  const axes = trace.stages[name].axes.map(([axis]) => axis);
  if (axes.includes("head")) return `head ${head}`;
  if (!axes.includes("kv_head")) return "";
  const kv = trace.kv(head), group = trace.n_heads / trace.n_kv_heads;
  return group === 1 ? `head ${head}` : `key/value head ${kv}, shared by heads ${kv * group}–${kv * group + group - 1}`;
}

function slabWords(trace, layer, row, c) {
  const before = trace.stream(layer, row), after = trace.length("resid_post", layer, row);
  return [{ text: `layer ${layer}  ·  ${trace.quoted(row)}`, strong: true },
    { text: `attention wrote ‖Δx‖ = ${num(trace.length("attention.out", layer, row))}`, colour: c.attention },
    { text: `FFN wrote ‖Δx‖ = ${num(trace.length("ffn.out", layer, row))}`, colour: c.ffn },
    `stream ‖x‖ ${num(before)} → ${num(after)}`, { text: "click to open", colour: c.muted }];
}

function sumWords(trace, layer, id, row) {
  const mid = id === "resid_mid", before = mid ? trace.stream(layer, row) : trace.length("resid_mid", layer, row);
  const write = trace.length(mid ? "attention.out" : "ffn.out", layer, row);
  const post = trace.norm_place === "post";
  return [{ text: `${post ? "add, then normalise" : "add to the stream"}  ·  ${trace.quoted(row)}`, strong: true },
    `stream ‖x‖ = ${num(before)}, write ‖Δx‖ = ${num(write)}`, `after: ‖x‖ = ${num(trace.length(id, layer, row))}`];
}

function barWords(trace, view, rank) {
  const row = view.token, T = trace.temperatures[view.temperature], p = trace.probabilities(view.temperature, row)[rank];
  const logit = trace.logits(row)[rank], [id, piece] = trace.candidates[row][rank];
  return [{ text: `‘${gf.chipText(piece)}’  ·  id ${id}`, strong: true }, `logit ℓ = ${num(logit)}`,
    T === 0 ? `T = 0: all on the largest logit, p = ${num(p)}` : `p = e^(ℓ/T) / Σ over ${trace.vocab_size} entries, T = ${T}: ${num(p)}`];
}

function tokenWords(trace, row) {
  const [id, piece] = trace.tokens[row];
  const lines = [{ text: `‘${gf.chipText(piece)}’  ·  token ${row} of 0–${trace.n - 1}`, strong: true }, `id ${id} of ${trace.vocab_size} in the vocabulary`];
  if (trace.kind === "decoder" && !/[⁄<]/.test(piece)) {
    const bytes = [...new TextEncoder().encode(piece)].map((b) => b.toString(16).toUpperCase().padStart(2, "0"));
    lines.push(`bytes ${bytes.slice(0, 12).join(" ")}${bytes.length > 12 ? " …" : ""}`);
  }
  return lines;
}

function words(trace, at, view, c) {
  if (at.type === "tokens") return tokenWords(trace, at.row);
  if (at.type === "slab") return slabWords(trace, at.layer, at.row, c);
  if (at.type === "bar") return barWords(trace, view, at.box.rank);
  if (at.type === "odds" || at.type === "card") return null;
  if (at.type === "thumb") {
    if (!trace.has(at.layer)) return null;
    const [[key, weight]] = trace.reads(at.layer, at.box.head, view.token);
    return [{ text: `layer ${at.layer}, head ${at.box.head}`, strong: true },
      `${trace.quoted(view.token)} reads most from ${trace.quoted(key)}: ${num(weight)}`, { text: "click to enlarge", colour: c.muted }];
  }
  if (at.type === "title") return [{ text: `${plainSymbol(trace.stages[at.stage].symbol)}  ${trace.stages[at.stage].meaning}`, strong: true }, { text: "click for formula, shape and code", colour: c.muted }];
  if (at.layer !== undefined && !trace.has(at.layer)) return ["this layer’s tensors are on their way"];
  if (at.type === "map") return mapWords(trace, at.layer, view.head, at.row, at.key, c);
  if (at.type === "sum") return sumWords(trace, at.layer, at.stage, at.row);
  return stripWords(trace, at, view);
}

// The same for the ear: one sentence about what the keyboard is on.
function spoken(trace, view) {
  const row = trace.quoted(view.token), said = [`Row ${view.token}, ${row}.`];
  if (view.layer === null) said.push("No layer open.");
  else {
    said.push(`Layer ${view.layer} open: attention wrote ${num(trace.length("attention.out", view.layer, view.token))}, `
      + `the FFN ${num(trace.length("ffn.out", view.layer, view.token))}.`);
    if (trace.has(view.layer)) {
      const reads = trace.reads(view.layer, view.head, view.token).slice(0, 2).map(([key, w]) => `${trace.quoted(key)} ${num(w, 2)}`);
      said.push(`Head ${view.head} reads ${reads.join(", ")}.`);
    }
  }
  if (!trace.headless) said.push(`Most likely next: ‘${trace.candidates[view.token][0][1].trim()}’, ${percent(trace.probabilities(view.temperature, view.token)[0])}.`);
  return said.join(" ");
}
