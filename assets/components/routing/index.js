/* A text read by a mixture of experts: every token with the experts that it chose, the router's probabilities of one token,
   and what each expert reads here and is for elsewhere.

   The buttons choose the model, the sliders the layer and how many tokens an expert takes. Hover a token for its gates; a
   click or the arrows leave it there. A reading that an expert had no room for is struck out.
   Data: charts/experts.py. Reports: stand {epoch, pick, layer, capacity, token}. */
export default (component) => gf.mount(component, (root, first) => {
  const CHIP = 46, LINE = 54, BAR = 150, EXPERT = 46, LETTER = 8.5;
  const HUES = [222, 12, 150, 300, 46, 186, 262, 96];   // one a letter, which always stands with it
  let d = null, c = null, pick = "", layer = 0, capacity = 0, pinned = 0, hover = null, send = first, waiting = 0;
  const picks = plot.buttons((name) => { pick = name; read(); tell(); });
  const layers = plot.scrubber("Layer", (i) => { layer = i; read(); tell(); });
  const rooms = plot.scrubber("Capacity factor", (i) => { capacity = i; read(); tell(); });
  const bar = Object.assign(document.createElement("div"), { className: "bar" });
  bar.append(layers.element, rooms.element);
  root.append(picks.element, bar);
  const { view, sum, tools, fit } = plot.picture(root, "experts", (w) => d && layout(w), draw);
  const under = Object.assign(document.createElement("div"), { className: "under" });
  under.append(sum, tools);
  root.append(under);

  const E = () => d.letters.length, n = () => d.tokens.length, model = () => d.models.indexOf(pick);
  const token = () => hover ?? pinned;
  const index = (t, e) => (((capacity * d.models.length + model()) * d.layers + layer) * n() + t) * E() + e;
  const p = (t, e) => d.arrays.p[index(t, e)], wanted = (t, e) => d.arrays.wanted[index(t, e)], gate = (t, e) => d.arrays.gates[index(t, e)];
  const chosen = (t) => d.letters.map((_, e) => e).filter((e) => wanted(t, e) > 0).sort((a, b) => wanted(t, b) - wanted(t, a));
  const loss = (room) => d.arrays.loss[room * d.models.length + model()];
  const percent = (v, digits = 0) => `${(100 * v).toFixed(digits)}%`;
  function colour(e) {
    const dark = gf.rgb(c.background)[0] < 128, [h, s, l] = [HUES[e % HUES.length] / 360, 0.62, dark ? 0.7 : 0.4];
    const q = l < 0.5 ? l * (1 + s) : l + s - l * s, low = 2 * l - q;
    const part = (t) => { const u = (t + 1) % 1; return u < 1 / 6 ? low + (q - low) * 6 * u : u < 0.5 ? q : u < 2 / 3 ? low + (q - low) * (2 / 3 - u) * 6 : low; };
    return `rgb(${[h + 1 / 3, h, h - 1 / 3].map((t) => Math.round(255 * part(t))).join(", ")})`;
  }

  function layout(w) {
    const narrow = w < 760, left = narrow ? w : w * 0.6, chips = [];
    let x = 0, y = 4;
    d.tokens.forEach((piece) => {
      const wide = Math.max(54, LETTER * Array.from(gf.chipText(piece)).length + 16);
      if (x + wide > left) { x = 0; y += LINE; }
      chips.push({ x, y, w: wide });
      x += wide + 5;
      if (piece.includes("\n")) { x = 0; y += LINE; }
    });
    const bars = y + LINE + 16, right = narrow ? { x: 0, y: bars + BAR + 40, w } : { x: left + 30, y: 4, w: w - left - 34 };
    const height = Math.max(bars + BAR + 30, right.y + 26 + E() * EXPERT + 8);
    return { narrow, left, chips, bars, right, height };
  }

  function draw(q, l) {
    l.chips.forEach((box, t) => chip(q, box, t));
    router(q, l);
    experts(q, l);
  }

  function chip(q, { x, y, w }, t) {
    const [a, ...rest] = chosen(t), on = t === token(), nobody = chosen(t).every((e) => gate(t, e) === 0);
    q.rect(x, y, w, CHIP, { fill: nobody ? c.background : gf.mix(c.background, colour(a), 0.16 + 0.2 * wanted(t, a)), radius: 6, stroke: c.line });
    let from = x;
    for (const e of [a, ...rest]) {   // gates as a band: they fill the chip, but for what was dropped
      const wide = w * wanted(t, e);
      if (gate(t, e) > 0) q.rect(from + 1, y + CHIP - 6, Math.max(0, wide - 2), 5, { fill: colour(e), radius: 2 });
      from += wide;
    }
    q.text(x + w / 2, y + 17, gf.chipText(d.tokens[t]), { fill: nobody ? c.muted : c.ink, size: 14, anchor: "middle" });
    const step = Math.min(22, (w - 8) / (1 + rest.length));
    [a, ...rest].forEach((e, i, all) => {
      const lx = x + w / 2 + (i - (all.length - 1) / 2) * step, open = gate(t, e) > 0;
      q.text(lx, y + 34, d.letters[e], { fill: open ? colour(e) : c.muted, size: 13, anchor: "middle", weight: i ? 500 : 700 });
      if (!open) q.line([[lx - 7, y + 29.5], [lx + 7, y + 29.5]], { stroke: c.ink, lineWidth: 2 });
    });
    if (on) for (const inset of [-1, 0, 1]) q.rect(x + inset, y + inset, w - 2 * inset, CHIP - 2 * inset, { stroke: c.ink, radius: 7 });
  }

  function router(q, l) {   // of one token
    const t = token(), wide = Math.min(l.left, 640) / E(), base = l.bars + BAR - 22, most = Math.max(...d.letters.map((_, e) => p(t, e)), 0.25), high = BAR - 62;
    q.text(0, l.bars + 8, `Router of “${gf.chipText(d.tokens[t])}”: ${l.narrow ? `p, its ${d.k} in full` : `p over the experts; full bars are its ${d.k}, with their gates g`}`, { fill: c.ink, family: plot.SANS, size: l.narrow ? 13 : 15, weight: 600 });
    d.letters.forEach((letter, e) => {
      const x = e * wide, tall = high * p(t, e) / most, mine = wanted(t, e) > 0, open = gate(t, e) > 0;
      q.rect(x + 5, base - tall, wide - 14, Math.max(1, tall), { fill: mine ? (open ? colour(e) : c.line) : gf.mix(c.background, colour(e), 0.28), radius: 3 });
      q.text(x + wide / 2 - 2, base - tall - 5, percent(p(t, e)), { fill: mine ? c.ink : c.muted, size: 12, anchor: "middle", weight: mine ? 700 : 400 });
      q.text(x + wide / 2 - 2, base + 17, mine ? (l.narrow ? letter : `${letter}  g ${open ? wanted(t, e).toFixed(2) : "0"}`) : letter, { fill: mine ? c.ink : c.muted, size: 13, anchor: "middle", weight: mine ? 700 : 400 });
    });
    q.line([[0, base], [E() * wide - 6, base]], { stroke: c.muted });
  }

  const readings = (e) => d.tokens.reduce((count, _, t) => count + (gate(t, e) > 0), 0);
  const asked = (e) => d.tokens.reduce((count, _, t) => count + (wanted(t, e) > 0), 0);

  function experts(q, { right, narrow }) {
    const even = d.k * n() / E(), most = Math.max(even * 1.6, ...d.letters.map((_, e) => asked(e))), bx = right.x + 30, bw = right.w - 106;
    q.text(right.x, right.y + 12, `Tokens it reads here (| even${d.room[capacity] === null ? "" : ", ┊ room"}), in grey what it mostly reads`, { fill: c.ink, family: plot.SANS, size: narrow ? 14 : 13.5, weight: 600 });
    d.letters.forEach((letter, e) => {
      const y = right.y + 26 + e * EXPERT, mine = chosen(token()).includes(e);
      q.text(right.x + 4, y + 15, letter, { fill: colour(e), size: 17, weight: 700 });
      q.rect(bx, y + 3, bw * asked(e) / most, 13, { fill: c.background, stroke: c.line, radius: 3 });
      q.rect(bx, y + 3, bw * readings(e) / most, 13, { fill: mine ? colour(e) : gf.mix(c.background, colour(e), 0.6), radius: 3 });
      q.line([[bx + bw * even / most, y], [bx + bw * even / most, y + 19]], { stroke: c.ink });
      const most_ = d.room[capacity];
      if (most_ !== null && most_ / most <= 1.02) q.line([[bx + bw * most_ / most, y], [bx + bw * most_ / most, y + 19]], { stroke: c.positive, lineWidth: 2, dash: [3, 2] });
      q.text(bx + bw + 8, y + 15, `${readings(e)}${asked(e) > readings(e) ? ` of ${asked(e)}` : ""}`, { fill: c.ink, size: 13, weight: mine ? 700 : 400 });
      const room = Math.floor(right.w / 7.6) - 4;
      let words = "";
      for (const [piece] of d.favourites[model()][layer][e]) {
        const next = `${words}${words ? "  " : ""}${gf.chipText(piece)}`;
        if (next.length > room) break;
        words = next;
      }
      q.text(bx, y + 33, words || "reads no token of these most often", { fill: c.muted, size: 12.5 });
    });
  }

  function read() {
    const t = token(), mine = chosen(t), total = mine.reduce((s, e) => s + p(t, e), 0);
    const gates = mine.map((e) => `g_${d.letters[e]} = ${p(t, e).toFixed(3)} / ${total.toFixed(3)} = ${wanted(t, e).toFixed(3)}${gate(t, e) > 0 ? "" : " (no room: 0)"}`).join(",  ");
    const lost = d.tokens.reduce((s, _, i) => s + chosen(i).filter((e) => gate(i, e) === 0).length, 0), nobody = d.tokens.filter((_, i) => chosen(i).every((e) => gate(i, e) === 0)).length;
    const room = d.room[capacity];
    sum.textContent = `“${gf.chipText(d.tokens[t])}”, layer ${layer}: ${gates}\n`
      + (room === null ? `Nothing is dropped: every expert takes all that come. Loss on this text ${loss(capacity).toFixed(3)} nats a token.`
        : `An expert takes ⌈${d.capacities[capacity]} · ${n()} · ${d.k} / ${E()}⌉ = ${room} tokens here: ${lost} of ${n() * d.k} readings dropped, ${nobody} tokens read by nobody. `
        + `Loss on this text ${loss(capacity).toFixed(3)} nats a token, ${loss(0).toFixed(3)} with all.`);
    view.canvas.setAttribute("aria-label", `${d.label} ${pick}. ${sum.textContent}`);
    view.redraw();
  }

  function tell() {
    clearTimeout(waiting);
    waiting = setTimeout(() => send.setStateValue("stand", { epoch: d.epoch, pick, layer, capacity: d.capacities[capacity], token: pinned }), 250);
  }

  function under_(event) {
    const rect = view.canvas.getBoundingClientRect(), x = event.clientX - rect.left, y = event.clientY - rect.top;
    const found = layout(rect.width).chips.findIndex((box) => x >= box.x && x < box.x + box.w && y >= box.y && y < box.y + CHIP);
    return found < 0 ? null : found;
  }
  view.canvas.addEventListener("pointermove", (event) => { if (d && event.pointerType !== "touch") { const at = under_(event); if (at !== hover) { hover = at; read(); } } });
  view.canvas.addEventListener("pointerleave", () => { hover = null; if (d) read(); });
  view.canvas.addEventListener("pointerdown", (event) => { const at = d && under_(event); if (at !== null && at !== false) { pinned = at; read(); tell(); } });
  const step = (by) => () => {
    if (pinned + by < 0 || pinned + by >= n()) return;
    pinned += by;
    hover = null;
    read();
    tell();
  };
  const deeper = (by) => () => {
    if (layer + by < 0 || layer + by >= d.layers) return;
    layer += by;
    layers.set(Array.from({ length: d.layers }, (_, i) => `${i}`), layer);
    read();
    tell();
  };
  gf.keys(view.canvas, { ArrowLeft: step(-1), ArrowRight: step(1), ArrowUp: deeper(-1), ArrowDown: deeper(1) });

  return {
    update(component) {
      send = component;
      const old = d;
      d = gf.unpack(component.data);
      c = gf.colours(root);
      hover = null;
      if (!old || old.epoch !== d.epoch) {   // otherwise they are the learner's
        clearTimeout(waiting);
        ({ pick, layer, token: pinned } = d);
        capacity = Math.max(0, d.capacities.indexOf(d.capacity));
      }
      picks.set("Trained", d.models, pick);
      layers.set(Array.from({ length: d.layers }, (_, i) => `${i}`), layer);
      rooms.set(d.capacities, capacity);
      fit();
      read();
    },
    destroy() { clearTimeout(waiting); view.destroy(); },
  };
});
