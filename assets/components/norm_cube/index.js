/* A batch of token vectors as a cube [batch, token, feature], cut into its sheets: before a norm and after it. The cell that
   is looked at lights every entry whose mean and variance it shares.

   The buttons choose the norm, the sliders how many sentences and tokens are in the batch, out of what the server computed.
   Hover a cell for its arithmetic; a click or the keys leave it there: arrows for token and feature, Page Up and Down for
   the sentence. Data: charts/normalisation.py. Reports: stand {epoch, pick, sentences, tokens, at}. */
export default (component) => gf.mount(component, (root, first) => {
  const ROW = 25, HEAD = 44, GAP = 20;
  let d = null, c = null, map = null, pick = "", batch = 1, tokens = 1, pinned = [0, 0, 0], hover = null, send = first, waiting = 0, chosen = null;
  const picks = plot.buttons((name) => { pick = name; read(); tell(); });
  const batches = plot.scrubber("Sentences in the batch", (i) => { batch = i + 1; clamp(); read(); tell(); });
  const lengths = plot.scrubber("Tokens of each", (i) => { tokens = i + 1; clamp(); read(); tell(); });
  const bar = Object.assign(document.createElement("div"), { className: "bar" });
  bar.append(batches.element, lengths.element);
  root.append(picks.element, bar);
  const { view, sum, tools, fit } = plot.picture(root, "normalisation", (w) => d && layout(w), draw);
  const under = Object.assign(document.createElement("div"), { className: "under" });
  under.append(sum, tools);
  root.append(under);

  const norm = () => chosen;
  const many = () => [d.sentences.length, d.sentences[0].tokens.length, d.features.length];
  const frame = (one) => (one.frames > 1 ? (batch - 1) * many()[1] + tokens - 1 : 0);
  function value(part, [b, t, f], one = norm()) {   // a part of a norm, of the batch as the sliders have it
    const [B, T, F] = many();
    return d.arrays[`${one.key} ${part}`][((frame(one) * B + b) * T + t) * F + f];
  }
  const x = ([b, t, f]) => d.arrays.x[(b * many()[1] + t) * many()[2] + f];
  const inside = ([b, t]) => b < batch && t < tokens;
  const at = () => hover ?? pinned;
  function lit(cell) {
    const [b, t, f] = at(), over = norm().over;
    if (over === "features") return cell[0] === b && cell[1] === t;
    if (over === "batch") return cell[2] === f && inside(cell);
    return cell[0] === b && cell[1] === t && cell[2] === f;   // running averages: nothing of this batch
  }
  function clamp() { pinned = [Math.min(pinned[0], batch - 1), Math.min(pinned[1], tokens - 1), pinned[2]]; }

  function layout(w) {
    const [B, T, F] = many(), narrow = w < 700, label = narrow ? 64 : 88, iso = narrow ? 0 : Math.min(300, w * 0.27);
    const left = narrow ? 0 : iso + 14, room = w - left - label - 6, cell = narrow ? room / F : (room - GAP) / (2 * F);
    const sheet = HEAD + T * ROW, depth = narrow ? 226 : 0;
    const height = depth + (narrow ? 2 : 1) * B * sheet + 14;
    return { narrow, label, iso: narrow ? w : iso, isoHeight: narrow ? 220 : Math.min(B * sheet, 430), left, cell, sheet, depth, height };
  }
  function place(l, side, [b, t, f]) {   // the left upper corner of a cell; side 0 before, 1 after
    const row = l.narrow ? 2 * b + side : b, F = many()[2];
    return [l.left + l.label + (l.narrow ? 0 : side * (F * l.cell + GAP)) + f * l.cell, l.depth + row * l.sheet + HEAD + t * ROW];
  }

  function draw(p, l) {
    cube(p, l);
    const [B, T, F] = many();
    for (let b = 0; b < B; b++) for (const side of [0, 1]) {
      const [x0, y0] = place(l, side, [b, 0, 0]), out = b >= batch;
      const title = side ? "after: y" : `${b + 1}  ${d.sentences[b].title}${out ? " (not in the batch)" : ""}`;
      const room = side || l.narrow ? F * l.cell : F * l.cell + l.label;
      p.text(side || l.narrow ? x0 : x0 - l.label + 4, y0 - 23, short(l.narrow && !side ? `before: ${title}` : title, room / 7.4),
        { fill: out ? c.muted : c.ink, family: plot.SANS, size: 14, weight: 600 });
      for (let f = 0; f < F; f++) p.text(x0 + (f + 0.5) * l.cell, y0 - 6, `${d.features[f]}`, { fill: at()[2] === f ? c.ink : c.muted, size: 11, anchor: "middle", weight: at()[2] === f ? 700 : 400 });
      for (let t = 0; t < T; t++) {
        if (!side || l.narrow) p.text(x0 - 7, y0 + t * ROW + 17, short(gf.chipText(d.sentences[b].tokens[t]), (l.label - 10) / 7.3), { fill: inside([b, t]) ? c.ink : c.muted, size: 12, anchor: "end" });
        for (let f = 0; f < F; f++) entry(p, l, side, [b, t, f]);
      }
    }
  }

  function entry(p, l, side, cell) {
    const [px, py] = place(l, side, cell), there = inside(cell), v = side ? (there ? value("y", cell) : NaN) : x(cell);
    const on = there && lit(cell), share = Math.sign(v) * Math.sqrt(Math.min(1, Math.abs(v) / (side ? d.topY : d.topX)));
    const tint = there && !Number.isNaN(v) ? map(0.5 + 0.5 * share) : c.background;
    const fill = there ? (on ? tint : gf.mix(c.background, tint, 0.5)) : c.background;
    p.rect(px + 0.5, py + 0.5, l.cell - 1, ROW - 1, { fill, stroke: c.line, radius: 2 });
    const text = Number.isNaN(v) ? "" : number(v, l.cell);
    p.text(px + l.cell / 2, py + 17, text, { fill: there ? plot.readable(c, fill) : gf.mix(c.background, c.muted, 0.5), size: l.cell < 46 ? 11 : 12.5, anchor: "middle", weight: on ? 700 : 400 });
    if (on) p.rect(px + 1.5, py + 1.5, l.cell - 3, ROW - 3, { stroke: c.residual, radius: 2 });
    if (cell.every((v, i) => v === at()[i])) for (const inset of [0, 1, 2]) p.rect(px + inset, py + inset, l.cell - 2 * inset, ROW - 2 * inset, { stroke: c.ink, radius: 3 });
  }

  function cube(p, l) {   // the same batch as one block, its lit entries full
    const [B, T, F] = many(), w = l.iso - 20, h = l.isoHeight - 60;
    const s = Math.min(w / (F + 0.75 * (B - 1) + 1.2), h / (T + 0.75 * (B - 1) + 1)), dx = 0.75 * s, dy = -0.75 * s;
    const x0 = 26, y0 = 34 + 0.75 * s * (B - 1);
    for (let b = B - 1; b >= 0; b--) for (let t = 0; t < T; t++) for (let f = 0; f < F; f++) {
      const on = inside([b, t]) && lit([b, t, f]), here = [b, t, f].every((v, i) => v === at()[i]);
      const px = x0 + f * s + b * dx, py = y0 + t * s + b * dy;
      const fill = here ? c.ink : on ? c.query : gf.mix(c.background, c.line, inside([b, t]) ? 0.75 : 0.25);
      p.rect(px, py, s - 2, s - 2, { fill, radius: 3, stroke: c.background });
    }
    const low = y0 + T * s + 16;
    p.text(x0, low, `${d.features.length} of ${d.width} features →`, { fill: c.muted, family: plot.SANS, size: 13 });
    p.text(4, y0 - 12, "token ↓", { fill: c.muted, family: plot.SANS, size: 13 });
    p.text(x0 + (B - 1) * dx + 2, y0 + (B - 1) * dy - 9, "batch ↗", { fill: c.muted, family: plot.SANS, size: 13 });
    if (!l.narrow) {
      legend(p, x0, low + 62, w - 26, d.topX, "before");
      legend(p, x0, low + 112, w - 26, d.topY, "after");
    }
    p.text(x0, low + 20, norm().count.replace("{n}", `${norm().over === "batch" ? batch * tokens : d.width}`), { fill: c.query, family: plot.SANS, size: 14, weight: 600 });
  }

  function legend(p, x0, y0, w, top, title) {
    for (let i = 0; i < 48; i++) p.rect(x0 + i * w / 48, y0, w / 48 + 0.5, 9, { fill: map(0.5 + 0.5 * Math.sign(i - 23.5) * Math.sqrt(Math.abs(i - 23.5) / 23.5)) });
    p.text(x0, y0 - 6, title, { fill: c.muted, family: plot.SANS, size: 13 });
    [[0, `−${gf.number(top)}`, "start"], [0.5, "0", "middle"], [1, gf.number(top), "end"]].forEach(([t, text, anchor]) =>
      p.text(x0 + t * w, y0 + 22, text, { fill: c.muted, size: 12, anchor }));
  }

  const short = (text, most) => { const all = Array.from(text); return all.length > most ? `${all.slice(0, Math.max(1, Math.floor(most) - 1)).join("")}…` : text; };
  function number(v, wide) {
    const size = Math.abs(v), most = wide < 46 ? 3 : 4;
    if (size >= 1000) return size >= 10000 || most < 4 ? `${(v / 1000).toFixed(most < 4 ? 0 : 1)}k`.replace("-", "−") : v.toFixed(0).replace("-", "−");
    return (size >= 100 ? v.toFixed(0) : size >= 10 ? v.toFixed(1) : v.toFixed(2)).replace(/^-(?=0(\.0+)?$)/, "").replace("-", "−");
  }
  const exact = (v) => gf.number(v, 4);

  function read() {
    chosen = d.norms.find((one) => one.title === pick);
    const one = chosen, cell = at(), [b, t, f] = cell, where = `sentence ${b + 1}, “${gf.chipText(d.sentences[b].tokens[t])}”, feature ${d.features[f]}`;
    if (!inside(cell)) sum.textContent = `${where}: not in this batch, so it is not normalised here.`;
    else {
      const [mean, variance, y] = ["mean", "variance", "y"].map((part) => value(part, cell, one)), gamma = d.arrays[`${one.key} gamma`][f], v = x(cell);
      const root = `√(${exact(variance)} + ${d.epsText})`, top = one.key === "rms" ? exact(v) : `(${exact(v)} − ${mean < 0 ? `(${exact(mean)})` : exact(mean)})`;
      const stat = one.key === "rms" ? `mean of x² = ${exact(variance)}, no μ` : `μ = ${exact(mean)}  σ² = ${exact(variance)}`;
      const n = one.over === "batch" ? batch * tokens : d.width;
      sum.textContent = `${where}\n${one.of.replace("{n}", `${n}`).replace("{feature}", `${d.features[f]}`)}: ${stat}\n`
        + `y = γ · ${top} / ${root}${one.key === "rms" ? "" : " + β"} = ${exact(gamma)} · ${top} / ${exact(Math.sqrt(variance + d.eps))}${one.key === "rms" ? "" : " + 0"} = ${exact(y)}\n`
        + moves(one);
    }
    view.canvas.setAttribute("aria-label", `${d.label} ${pick}, ${batch} sentences of ${tokens} tokens. ${sum.textContent}`);
    view.redraw();
  }

  function moves(one) {   // what the first token's whole vector does when the batch is not the whole one
    const by = d.arrays[`${one.key} moved`][frame(one)], [B, T] = many();
    if (batch === B && tokens === T) return `The whole batch: ${B} × ${T} tokens. Take sentences away and watch the first token.`;
    if (batch * tokens === 1 && one.over === "batch") return "A batch of one token: σ² is 0, every y is β. Whatever the token was, it is gone; torch refuses to train on this.";
    return `Against the whole batch, the first token's y moved by ${by === 0 ? "exactly 0" : `${(100 * by).toFixed(1)}%`} of its length${by === 0 ? ": no companion counts." : ", though the token is the same."}`;
  }

  function tell() {
    clearTimeout(waiting);
    waiting = setTimeout(() => send.setStateValue("stand", { epoch: d.epoch, pick, sentences: batch, tokens, at: pinned }), 250);
  }

  function under_(event) {
    const rect = view.canvas.getBoundingClientRect(), l = layout(rect.width), [B, T, F] = many();
    const px = event.clientX - rect.left, py = event.clientY - rect.top;
    for (let b = 0; b < B; b++) for (const side of [0, 1]) {
      const [x0, y0] = place(l, side, [b, 0, 0]), f = Math.floor((px - x0) / l.cell), t = Math.floor((py - y0) / ROW);
      if (f >= 0 && f < F && t >= 0 && t < T) return [b, t, f];
    }
    return null;
  }
  view.canvas.addEventListener("pointermove", (event) => { if (d && event.pointerType !== "touch") { hover = under_(event); read(); } });
  view.canvas.addEventListener("pointerleave", () => { hover = null; if (d) read(); });
  view.canvas.addEventListener("pointerdown", (event) => {
    const cell = d && under_(event);
    if (!cell || !inside(cell)) return;
    pinned = cell;
    read();
    tell();
  });
  const step = (axis, by) => () => {
    const most = [batch, tokens, many()[2]][axis], next = pinned[axis] + by;
    if (next < 0 || next >= most) return;
    pinned = pinned.map((v, i) => (i === axis ? next : v));
    hover = null;
    read();
    tell();
  };
  gf.keys(view.canvas, { ArrowLeft: step(2, -1), ArrowRight: step(2, 1), ArrowUp: step(1, -1), ArrowDown: step(1, 1), PageUp: step(0, -1), PageDown: step(0, 1) });

  return {
    update(component) {
      send = component;
      const old = d;
      d = gf.unpack(component.data);
      c = gf.colours(root);
      map = gf.diverging(root);
      hover = null;
      if (!old || old.epoch !== d.epoch) {   // otherwise they are the learner's
        clearTimeout(waiting);
        ({ pick, batch, tokens, at: pinned } = d);
      }
      picks.set("Norm", d.norms.map((one) => one.title), pick);
      const names = (n) => Array.from({ length: n }, (_, i) => `${i + 1}`);
      batches.set(names(many()[0]), batch - 1);
      lengths.set(names(many()[1]), tokens - 1);
      fit();
      clamp();
      read();
    },
    destroy() { clearTimeout(waiting); view.destroy(); },
  };
});
