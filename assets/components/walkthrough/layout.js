// Where everything stands. Columns have a narrow and a roomy width; the space there is decides between them.
const TOP = 84, BOTTOM = 116;
const spaces = (compact) => (compact ? { gap: 6, fan: 14 } : { gap: 12, fan: 26 });   // fan: where the last vector reaches the odds
const PART = {   // [narrow, roomy, folded]; folded: while the head's map is grown
  norm: [22, 44, 9], strip: [31, 62, 14], wide: [34, 76, 12], map: [100, 240, 100], mix: [34, 60, 16], sum: [16, 24, 14],
};
const INSET = 10, SEAM = 6;   // inside the open layer: its padding, and the space between two parts

const clamp = (x, low, high) => Math.min(high, Math.max(low, x));
const mixed = (a, b, t) => a + (b - a) * t;

function partKind(part) {
  if (part.kind !== "strip") return part.kind;
  return part.id.startsWith("norm") ? "norm" : part.id === "ffn.post" ? "wide" : "strip";
}

// The width of every column for one view, as {columns: Map, inner: [width of each part] or null}.
function widths(trace, view, chips, space, compact) {
  const L = trace.n_layers, open = view.layer !== null, big = open && view.big;
  const roomy = Math.max(0, space);
  const { gap, fan } = spaces(compact), small = compact && !open;
  const ends = trace.headless ? [96, 220] : small ? [108, 150] : [146, 270];
  const slab = open ? [L > 16 ? (big ? 3 : 4) : 10, clamp(300 / L, 7, 42)] : [clamp(108 / L, 2.5, 16), clamp(820 / L, 10, 120)];
  const embed = big ? [18, 40] : open ? [28, 60] : [small ? 18 : 30, 70], norm = big ? [12, 24] : open ? [26, 44] : [small ? 10 : 20, 50];
  const inner = !open ? [] : trace.parts.map((part) => {
    const [narrow, wide, folded] = PART[partKind(part)];
    if (part.kind === "map") return big ? [Math.max(260, Math.min(22 * trace.n, 420)), Math.max(300, Math.min(46 * trace.n, 620))]
      : [narrow, clamp(26 * trace.n, 130, wide)];
    if (big && !["attention.Q", "attention.K"].includes(part.id)) return [folded, folded];
    return [narrow, wide];
  });
  const final = trace.end("final_norm") ? norm : [0, 0];
  const items = [embed, final, ends, ...inner, ...Array(open ? L - 1 : L).fill(slab)];
  const fixed = 4 * gap + fan + 4 + (open ? 2 * INSET + 2 * gap + SEAM * (inner.length - 1) : 0);
  const least = items.reduce((sum, [a]) => sum + a, fixed), most = items.reduce((sum, [, b]) => sum + b, fixed);
  const t = clamp((roomy - chips - least) / (most - least || 1), 0, 1);
  const w = ([a, b]) => mixed(a, b, t);
  const columns = new Map([["embed", w(embed)], ["final", w(final)], ["end", w(ends)]]);
  const parts = inner.map(w);
  for (let l = 0; l < L; l++) columns.set(l, w(slab));
  if (open) columns.set(view.layer, 2 * INSET + 2 * gap + parts.reduce((a, b) => a + b, 0) + SEAM * (parts.length - 1));
  const rest = roomy - chips - 4 * gap - fan - 4 - [...columns.values()].reduce((a, b) => a + b, 0);
  if (rest > 0) columns.set("end", columns.get("end") + Math.min(rest, 160));
  return { columns, inner: open ? { layer: view.layer, parts } : null };
}

// Positions, from the widths of the moment. opens: [{layer, parts, shown}] (two while one closes and one opens).
function layout(trace, { columns, opens }, { chips, rowH, compact }) {
  const { gap, fan } = spaces(compact);
  const n = trace.n, top = TOP, bottom = TOP + n * rowH, height = bottom + BOTTOM;
  const L = { top, bottom, height, rowH, chips, n, gap, fan, slabs: [], opens: [], hits: [] };
  L.rowTop = (i) => top + i * rowH;
  L.mid = (i) => top + (i + 0.5) * rowH;          // the stream's line through closed layers
  L.low = (i) => top + (i + 0.86) * rowH;         // and through an open one, under its strips
  L.stripY = (i) => top + (i + (rowH < 20 ? 0.06 : 0.1)) * rowH;
  L.stripH = rowH * (rowH < 20 ? 0.68 : 0.6);
  let x = chips + gap;
  const column = (name) => { const box = { x, w: columns.get(name) }; x += box.w; return box; };
  L.embed = column("embed");
  x += gap;
  L.stackX = x;
  for (let l = 0; l < trace.n_layers; l++) {
    const box = { layer: l, ...column(l) }, open = opens.find((o) => o.layer === l);
    if (open) L.opens.push(inside(trace, L, box, open));
    else L.slabs.push(box);
  }
  L.stackEnd = x;
  x += gap;
  L.final = column("final");
  x += L.final.w ? fan : fan - gap;
  L.end = column("end");
  L.width = x + 4;
  hits(trace, L);
  return L;
}

function inside(trace, L, box, open) {
  const o = { ...box, shown: open.shown, card: { x: box.x + L.gap, w: Math.max(0, box.w - 2 * L.gap) }, parts: [] };
  let x = o.card.x + INSET;
  trace.parts.forEach((part, k) => {
    o.parts.push({ ...part, x, w: open.parts[k] });
    x += open.parts[k] + SEAM;
  });
  const thumbs = trace.n_heads, room = o.card.w - 2 * INSET, size = clamp(Math.floor(room / thumbs) - 5, 6, 42);
  const left = o.card.x + (o.card.w - thumbs * (size + 5) + 5) / 2;
  o.thumbs = Array.from({ length: thumbs }, (_, h) => ({ head: h, x: left + h * (size + 5), y: L.bottom + 38, w: size, h: size }));
  o.part = (id) => o.parts.find((part) => part.id === id);
  return o;
}

// What the pointer can meet, the topmost last.
function hits(trace, L) {
  const body = { y: L.top, h: L.bottom - L.top };
  const add = (type, box, more = {}) => { if (box.w > 0) L.hits.push({ type, ...box, ...more }); };
  add("tokens", { x: 0, w: L.chips, ...body }, { stage: "tokens" });
  add("strip", { ...L.embed, ...body }, { stage: "embed", where: "end", name: "embed" });
  for (const slab of L.slabs) add("slab", { x: slab.x, w: slab.w, y: L.top - 24, h: body.h + 48 }, { layer: slab.layer });
  for (const o of L.opens) {
    add("card", { ...o.card, ...body }, { layer: o.layer });
    for (const part of o.parts) {
      const box = { x: part.x, w: part.w, ...body };
      if (part.kind === "map") add("map", box, { layer: o.layer, stage: "attention.A" });
      else if (part.kind === "sum") add("sum", { ...box, x: part.x - 4, w: part.w + 8 }, { layer: o.layer, stage: part.id });
      else if (part.kind === "strip") add("strip", box, { layer: o.layer, stage: part.id, where: "layer", name: part.id });
      if (part.kind !== "mix") {
        add("title", { x: part.x - 4, w: part.w + 8, y: L.top - 44, h: 40 }, { layer: o.layer, stage: part.id });
      }
    }
    for (const thumb of o.thumbs) add("thumb", { ...thumb, x: thumb.x - 2, w: thumb.w + 4, h: thumb.h + 16 }, { layer: o.layer });
  }
  add("strip", { ...L.final, ...body }, { stage: "final_norm", where: "end", name: "final_norm" });
  if (trace.headless) add("strip", { ...L.end, ...body }, { stage: "vectors", where: "end", name: "vectors" });
  else {
    add("odds", { ...L.end, ...body }, { stage: "probabilities" });
    add("title", { x: L.end.x, w: L.end.w, y: 0, h: L.top }, { stage: "probabilities" });
    const bars = barRows(trace, L);
    for (const bar of bars) add("bar", bar, { stage: "probabilities" });
  }
}

function barRows(trace, L) {   // one row a candidate, one for all the others
  const space = L.bottom - L.top, k = Math.min(trace.candidates[0].length, Math.max(3, Math.floor(space / 26) - 1), 11);
  const step = Math.min(34, space / (k + 1));
  return Array.from({ length: k }, (_, rank) => ({ rank, x: L.end.x, w: L.end.w, y: L.top + rank * step, h: step }));
}

function hit(L, x, y) {
  for (let i = L.hits.length - 1; i >= 0; i--) {
    const box = L.hits[i];
    if (x < box.x || x >= box.x + box.w || y < box.y || y >= box.y + box.h) continue;
    const row = clamp(Math.floor((y - L.top) / L.rowH), 0, L.n - 1);
    return { ...box, row, along: (x - box.x) / box.w, box, key: box.type === "map" ? clamp(Math.floor(((x - box.x) / box.w) * L.n), 0, L.n - 1) : null };
  }
  return null;
}
