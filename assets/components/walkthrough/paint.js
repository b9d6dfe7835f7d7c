// The picture, in world coordinates: the token chips from 0, everything else to their right.
class Painter {
  constructor(root, trace) {
    this.root = root;
    this.trace = trace;
    this.restyle();
  }

  restyle() {   // on a theme switch
    const style = getComputedStyle(this.root), family = (name) => style.getPropertyValue(name).trim() || "sans-serif";
    this.c = gf.colours(this.root);
    this.sans = family("--gf-sans");
    this.serif = family("--gf-serif");
    this.mono = family("--gf-mono");
    this.signed = gf.diverging(this.root);
    this.weights = gf.sequential(this.root);
    const shades = (role) => Array.from({ length: 17 }, (_, i) => gf.mix(this.c.background, this.c[role], 0.3 + 0.7 * (i / 16)));
    this.shades = { attention: shades("attention"), ffn: shades("ffn") };
    this.images = new Map();
  }

  faded(role, alpha) { return `rgba(${gf.rgb(this.c[role] || role).join(", ")}, ${alpha})`; }

  picture(name, { values, rows, cols }, map, low, high) {   // a matrix as a picture, made once
    const key = `${this.trace.key}|${name}`;
    if (!this.images.has(key)) {
      if (this.images.size > 600) this.images.clear();
      const canvas = document.createElement("canvas"), image = new ImageData(cols, rows), gain = 255 / (high - low || 1);
      for (let i = 0; i < rows * cols; i++) {
        const j = 4 * clamp(Math.round((values[i] - low) * gain), 0, 255);
        image.data.set([map.lut[j], map.lut[j + 1], map.lut[j + 2], 255], 4 * i);
      }
      canvas.width = cols;
      canvas.height = rows;
      canvas.getContext("2d").putImageData(image, 0, 0);
      this.images.set(key, canvas);
    }
    return this.images.get(key);
  }

  // s: {view, hover, keyRow, queryRow, front, boxes, chosen}. Faded first, then sharp inside the boxes, if there are boxes.
  scene(pen, L, s, draw) {
    if (!s.boxes) return draw(pen);
    pen.layer(s.front ? 0.1 : 0.16, null, () => draw(pen));
    pen.layer(1, s.boxes, () => draw(pen));
  }

  chips(pen, L, s) {
    const { trace, c } = this, size = clamp(L.rowH * 0.5, 10, L.chips < 80 ? 13 : 15);
    pen.text(4, 18, "tokens", { fill: c.muted, size: 14, family: this.sans });
    pen.text(4, TOP - 14, "ids", { fill: c.ink, size: 18, family: this.serif, italic: true, weight: 600 });
    for (let i = 0; i < L.n; i++) {
      const [id, piece] = trace.tokens[i], focus = i === s.view.token, high = Math.min(L.rowH - 4, 32);
      const y = L.mid(i) - high / 2, ring = i === s.queryRow ? c.query : i === s.keyRow ? c.key : focus ? c.ink : c.line;
      const strong = ring !== c.line;
      pen.rect(2, y, L.chips - 6, high, { fill: focus ? c.background : c.panel, stroke: ring, radius: 6, width: strong ? 2 : 1 });
      const text = gf.chipText(piece), lead = text.startsWith("·");
      const tall = L.rowH >= 40, base = L.mid(i) + (tall ? -1 : size * 0.35);
      if (lead) pen.text(7, base, "·", { fill: c.muted, size, family: this.mono });
      const shown = this.fit(lead ? text.slice(1) : text, L.chips - (lead ? 24 : 18), size);
      pen.text(lead ? 7 + size * 0.6 : 9, base, shown, { fill: c.ink, size, family: this.mono, weight: focus ? 600 : 400 });
      if (tall) pen.text(9, L.mid(i) + 12, String(id), { fill: c.muted, size: 11, family: this.mono });
    }
  }

  fit(text, width, size) {   // monospaced: 0.6 em a character
    const most = Math.max(1, Math.floor(width / (size * 0.6)));
    return text.length <= most ? text : `${text.slice(0, most - 1)}…`;
  }

  main(pen, L, s) {
    const { c, trace } = this;
    pen.rect(0, L.rowTop(s.view.token) + 1, (trace.headless ? L.width : L.end.x - L.fan) + 1, L.rowH - 2, { fill: this.faded("muted", 0.09) });
    this.titles(pen, L, s);
    for (const o of L.opens) this.card(pen, L, o);
    for (const slab of L.slabs) this.slab(pen, L, s, slab);
    this.ribbons(pen, L);
    this.strips(pen, L, "embed", this.trace.end("embed"), L.embed, true);
    for (const o of L.opens) this.open(pen, L, s, o);
    if (L.final.w) this.strips(pen, L, "final_norm", this.trace.end("final_norm"), L.final, true);
    if (this.trace.headless) this.strips(pen, L, "vectors", this.trace.end("vectors"), L.end, true);
    else this.odds(pen, L, s);
    if (s.hover?.type === "strip") {
      const { hover: { box, row, where } } = s, y = where === "layer" ? L.stripY(row) : L.mid(row) - L.stripH / 2;
      pen.rect(box.x - 2, y - 2, box.w + 4, L.stripH + 4, { stroke: c.ink, radius: 3, width: 1.5 });
    }
    if (s.hover?.type === "slab") {
      const { x, w } = s.hover.box;
      pen.rect(x, L.top - 2, w, L.bottom - L.top + 4, { stroke: c.ink, radius: 3, width: 1.5 });
    }
  }

  title(pen, x, y, text, { role = "muted", size = 14, weight = 400, anchor = "middle", family = this.sans, italic = false } = {}) {
    pen.text(x, y, text, { fill: this.c[role], size, weight, anchor, family, italic });
  }

  symbol(pen, box, stage, L) {
    const entry = this.trace.stages[stage];
    if (entry && box.w >= 12) this.letter(pen, box.x + box.w / 2, L.top - 14, entry.symbol, entry.role);
  }

  letter(pen, x, y, latex, role) {   // a symbol; the hat is drawn, since fonts put a combining one anywhere
    const text = plainSymbol(latex).replace("\u0302", "");
    this.title(pen, x, y, text, { role, size: 19, weight: 600, family: this.serif, italic: true });
    if (latex.includes("\\hat")) {
      const a = x - (text.length - 1) * 3 + 1;
      pen.path(`M${a - 4},${y - 11}L${a},${y - 15}L${a + 4},${y - 11}`, { stroke: this.c[role], width: 1.6 });
    }
  }

  titles(pen, L, s) {
    const { trace } = this;
    const centre = (box) => box.x + box.w / 2;
    if (L.embed.w >= 26) this.title(pen, centre(L.embed), 18, L.embed.w > 62 ? "embedding" : "embed");
    this.symbol(pen, L.embed, "embed", L);
    if (L.final.w) {
      if (L.final.w >= 24) this.title(pen, centre(L.final), 18, "norm");
      this.symbol(pen, L.final, "final_norm", L);
    }
    const runs = [];   // closed layers that stand side by side share one title
    for (const slab of L.slabs) {
      const last = runs.at(-1);
      if (last && last.to === slab.layer - 1) { last.to = slab.layer; last.w = slab.x + slab.w - last.x; }
      else runs.push({ from: slab.layer, to: slab.layer, x: slab.x, w: slab.w });
    }
    for (const run of runs) {
      const label = run.from === run.to ? `${run.from}` : `${run.from}–${run.to}`, long = `layers ${label}`;
      this.title(pen, centre(run), 18, run.w > 8 * long.length ? long : run.w > 7.5 * label.length - 8 ? label : "");
      this.ticks(pen, L, run);
    }
    if (trace.headless) {
      this.title(pen, centre(L.end), 18, "vectors");
      this.symbol(pen, L.end, "vectors", L);
    }
  }

  ticks(pen, L, run) {
    const each = run.w / (run.to - run.from + 1), step = [1, 2, 5, 10, 20].find((k) => k * each >= 20) || 50;
    for (let l = run.from; l <= run.to; l++) {
      if (l % step) continue;
      const x = run.x + (l - run.from + 0.5) * each;
      pen.rect(x - 0.5, L.bottom + 3, 1, 4, { fill: this.c.muted });
      this.title(pen, x, L.bottom + 20, String(l), { size: 12, family: this.mono });
    }
  }

  slab(pen, L, s, { layer, x, w }) {
    const { trace, shades } = this, gap = w > 7 ? 2 : 1;
    pen.rect(x + gap / 2, L.top, w - gap, L.bottom - L.top, { fill: this.faded("muted", 0.07), radius: w > 7 ? 3 : 1 });
    const bar = Math.min(w - gap, 30), left = x + (w - bar) / 2, room = L.rowH / 2 - 1.5;
    for (let i = 0; i < L.n; i++) {
      for (const [name, role, sign] of [["attention.out", "attention", -1], ["ffn.out", "ffn", 1]]) {
        const length = trace.length(name, layer, i), share = trace.share(length), tall = share * room, mid = L.mid(i);
        pen.rect(left, sign < 0 ? mid - tall : mid, bar, tall, { fill: shades[role][Math.round(share * 16)] });
        if (length > trace.cap) pen.rect(left, sign < 0 ? mid - tall : mid + tall - 3, bar, 3, { fill: this.c.ink });   // cut off
      }
    }
  }

  thickness(L, length) {
    return clamp(0.8 + 0.55 * Math.log10(1 + length), 1, Math.max(1, L.rowH * 0.1));
  }

  ribbons(pen, L) {
    const { trace, c } = this, stroke = c.residual, boxes = [...L.slabs, ...L.opens].sort((a, b) => a.x - b.x);
    const end = L.final.w ? L.final.x : L.end.x;
    for (let i = 0; i < L.n; i++) {
      pen.path(`M${L.chips - 4},${L.mid(i)}H${L.embed.x}`, { stroke: this.faded("muted", 0.5) });
      pen.path(`M${L.embed.x + L.embed.w},${L.mid(i)}H${L.stackX}`, { stroke, width: this.thickness(L, trace.stream(0, i)) });
      for (const box of boxes) {
        const width = this.thickness(L, trace.stream(box.layer, i));
        if (!box.parts) pen.rect(box.x, L.mid(i) - width / 2, box.w, width, { fill: stroke });
        else this.through(pen, L, box, i, width);
      }
      pen.path(`M${L.stackEnd},${L.mid(i)}H${end}`, { stroke, width: this.thickness(L, trace.length("resid_post", trace.n_layers - 1, i)) });
    }
  }

  through(pen, L, o, i, width) {   // down under the open layer's strips and up again; a post-norm stands in the stream itself
    const { c } = this, mid = L.mid(i), low = mixed(mid, L.low(i), o.shown), half = L.gap / 2;
    const a = o.x, b = o.card.x + 2, y = o.card.x + o.card.w - 2, z = o.x + o.w, style = { stroke: c.residual, width };
    pen.path(`M${a},${mid}C${a + half},${mid} ${b - half},${low} ${b},${low}`, style);
    let at = b;
    if (this.trace.norm_place === "post") {
      for (const norm of o.parts.filter((part) => part.id.startsWith("norm"))) {
        const strip = L.stripY(i) + L.stripH / 2;
        pen.path(`M${at},${low}H${norm.x - SEAM}Q${norm.x - 2},${low} ${norm.x},${strip}`, style);
        pen.path(`M${norm.x + norm.w},${strip}Q${norm.x + norm.w + 2},${low} ${Math.min(norm.x + norm.w + SEAM, y)},${low}`, style);
        at = Math.min(norm.x + norm.w + SEAM, y);
      }
    }
    pen.path(`M${at},${low}H${y}`, style);
    pen.path(`M${y},${low}C${y + half},${low} ${z - half},${mid} ${z},${mid}`, style);
  }

  strips(pen, L, name, block, box, centred = false) {
    if (!block || box.w < 3) return;
    const range = this.trace.range(name, block), image = this.picture(name, block, this.signed, -range, range);
    for (let i = 0; i < L.n; i++) {
      const y = centred ? L.mid(i) - L.stripH / 2 : L.stripY(i);
      pen.image(image, box.x, y, box.w, L.stripH, i, 1);
      pen.rect(box.x, y, box.w, L.stripH, { stroke: this.faded("muted", 0.35), width: 0.75 });
    }
  }

  odds(pen, L, s) {
    const { trace, c } = this, row = s.view.token, p = trace.probabilities(s.view.temperature, row), bars = barRows(trace, L);
    const box = L.end, show = s.front ? s.front.odds : 1, from = L.final.w ? L.final.x + L.final.w : L.stackEnd;
    this.title(pen, box.x, 18, "next token", { anchor: "start" });
    this.letter(pen, box.x + 6, L.top - 14, "p", "output");
    if (box.w > 120) this.title(pen, box.x + 14, L.top - 14, ` after ${this.fit(trace.quoted(row), box.w - 70, 13)}`, { size: 13, anchor: "start" });
    const tight = box.w < 180, label = tight ? box.w - 50 : clamp(box.w * 0.46, 62, 116);   // tight: the bar lies behind the word
    const left = tight ? box.x : box.x + label, room = tight ? box.w : box.w - label - 6;
    const next = trace.tokens[row + 1]?.[0];
    let rest = 1;
    for (const { rank, y, h } of bars) {
      const [id, piece] = trace.candidates[row][rank], picked = rank === s.view.pick, mid = y + h / 2;
      rest -= p[rank];
      pen.path(`M${from},${L.mid(row)}C${from + L.fan / 2},${L.mid(row)} ${box.x - L.fan / 2},${mid} ${box.x - 2},${mid}`,
        { stroke: this.faded("output", 0.08 + 0.7 * p[rank] * show), width: 1 + 5 * p[rank] * show });
      if (picked) pen.rect(box.x - 2, y + 2, box.w + 4, h - 4, { fill: this.faded("muted", 0.12), stroke: c.ink, radius: 6 });
      const long = Math.max(1, room * p[rank] * show), within = !tight && long > room - 48, strong = rank === 0 || picked;
      pen.rect(left, y + h * 0.2, long, h * 0.6, { fill: tight ? this.faded("output", strong ? 0.26 : 0.16) : strong ? c.output : this.faded("output", 0.62), radius: 2 });
      const size = clamp(h * 0.45, 11, box.w < 180 ? 14 : 16), text = gf.chipText(piece), lead = text.startsWith("·");
      if (lead) pen.text(box.x + 4, mid + 5, "·", { fill: c.muted, size, family: this.mono });
      pen.text(box.x + 4 + size * 0.6, mid + 5, this.fit(lead ? text.slice(1) : text, label - 14, size),
        { fill: c.ink, size, family: this.mono, weight: rank === 0 || id === next ? 600 : 400 });
      const at = tight ? box.x + box.w - 2 : within ? left + long - 6 : left + long + 5;
      pen.text(at, mid + 5, percent(p[rank] * show),
        { fill: within ? c.background : c.muted, size: box.w < 140 ? 12 : 13, family: this.mono, anchor: tight || within ? "end" : "start" });
    }
    const y = bars.at(-1).y + bars.at(-1).h;
    if (y + 16 <= L.bottom + 4) {
      this.title(pen, box.x + 4, y + 15, `${spaced(trace.vocab_size - bars.length)} others ${percent(Math.max(0, rest))}`,
        { size: 12, anchor: "start" });
    }
  }

  card(pen, L, o) {
    if (o.card.w < 4) return;
    pen.rect(o.card.x, L.top - 54, o.card.w, L.bottom - L.top + 60, { fill: this.c.background, stroke: this.c.line, radius: 10 });
    pen.rect(o.card.x, L.top - 54, o.card.w, L.bottom - L.top + 60, { fill: this.faded("muted", 0.045), radius: 10 });
  }
}

const spaced = (n) => n.toLocaleString("en");

function percent(p) {
  const x = 100 * p;
  return x >= 99.95 ? "100 %" : `${x >= 10 ? x.toFixed(0) : x >= 0.95 ? x.toFixed(1) : x >= 0.01 ? x.toFixed(2) : "<0.01"} %`;
}

function plainSymbol(latex) {
  return latex.replace("\\hat{x}", "x̂").replace(/\\Delta /, "Δ").replace(/_\{\\text\{\w+\}\}/, "").replace("\\ell", "ℓ")
    .replace(/\\text\{(\w+)\}/, "$1").replace(/''/, "″").replace(/'/, "′");
}
