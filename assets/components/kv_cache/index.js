/* One head while a text grows: what is computed without a cache and with one, row by row, in the same real numbers.

   Two lanes, each Q, K, V [token, d_head] and A [query, key]. A frame is what this step computes; a hatched row has been
   computed before, with the same result; dashed is what the cache kept. Underneath, token by step: filled where a token
   goes through the layers at that step. The slider (or ← →, space plays) chooses the step; ↑ ↓ choose the key whose score
   is spelt out. Data: charts/kv_cache.py. Reports: stand {epoch, step}. */
export default (component) => gf.mount(component, (root, first) => {
  const LANES = [["without", "Without a cache: read everything again"], ["kept", "With the KV cache: read the newest token"]];
  let d = null, c = null, maps = null, at = 0, key = 0, hover = null, send = first, waiting = 0, film = 0;
  const bar = document.createElement("div");
  bar.className = "bar";
  const slider = plot.scrubber("", (i) => { stop(); go(i); });
  const play = gf.button("▶ Play", () => (film ? stop() : start()), { label: "Play the steps", pressed: false });
  const buttons = document.createElement("span");
  buttons.className = "buttons";
  buttons.append(play, gf.button("Step ▸", () => { stop(); go(at + 1); }, { label: "Next step" }),
    gf.button("Reset", () => { stop(); go(0); }, { label: "Back to the prompt" }));
  bar.append(slider.element, buttons);
  root.append(bar);
  const view = gf.canvas(root, { label: "", draw: (ctx, w, h) => d && paint(ctx, w, h) });
  const tip = gf.tooltip(view.wrap);
  const { sum, tools } = plot.foot(view, () => "kv-cache", saveSvg);
  root.append(sum, tools);

  const n = () => d.tokens.length, count = () => d.steps.values.length;
  const end = (step = at) => d.prompt + step;               // tokens read after this step
  const before = (step = at) => (step ? d.prompt + step - 1 : 0);   // tokens read before it
  const token = (i) => gf.chipText(d.tokens[i]);
  const value = (name, i, j) => d.arrays[name][i * d.arrays[name].shape[1] + j];
  const big = (flops) => (flops >= 1e9 ? `${gf.number(flops / 1e9)} GFLOP` : `${gf.number(flops / 1e6)} MFLOP`);

  function score(i, j) {   // the dot product itself, from the rows that are drawn
    let s = 0;
    for (let k = 0; k < d.d_head; k++) s += value("Q", i, k) * value("K", j, k);
    return s * d.scale;
  }

  // ---- where everything stands ----
  function layout(w) {
    const narrow = w < 640, lane = narrow ? w : (w - 36) / 2, label = Math.min(88, lane * 0.2), gap = 8;
    const strip = Math.max(30, (lane - label) * 0.115), left = label + 3 * (strip + gap) + 4;
    const row = Math.max(7, Math.min(24, 300 / n())), cell = (lane - left - 2) / n();
    const step = Math.max(5, Math.min(13, 110 / count())), top = 58, under = top + n() * row + 30;
    const tall = Math.max(under + count() * step + 8, under + 104);
    return { narrow, lane, label, gap, strip, left, row, cell, step, top, under, tall,
      height: (narrow ? 2 * tall + 24 : tall) + 34 };
  }

  const origin = (l, i) => (l.narrow ? [0, i * (l.tall + 24)] : [i * (l.lane + 36), 0]);
  const stripX = (l, s) => l.label + s * (l.strip + l.gap);

  // ---- drawing: on the screen, and the same on an SVG ----
  function paint(ctx, w, h) {
    const l = layout(w);
    if (Math.abs(h - l.height) > 1) { view.canvas.style.height = `${l.height}px`; return; }
    draw(plot.onCanvas(ctx), w);
  }

  function saveSvg() {
    plot.saveSvg("kv-cache.svg", view.size(), c.background, (p, w) => draw(p, w));
  }

  function draw(p, w) {
    const l = layout(w);
    LANES.forEach(([name, title], i) => lane(p, l, ...origin(l, i), name, l.narrow ? title.split(":")[0] : title));
    legend(p, l, w);
  }

  function rowsOf(name, part) {   // [from, to) computed now, [from, to) computed again, [from, to) there to be read
    const a = before(), b = end();
    if (name === "without") return { now: [0, b], again: [0, a], there: [0, b] };
    return { now: [a, b], again: [0, 0], there: part === "K" || part === "V" ? [0, b] : [a, b] };
  }

  function lane(p, l, x, y, name, title) {
    const role = { Q: "query", K: "key", V: "value", A: "attention" };
    p.text(x, y + 18, title, { fill: c.ink, family: plot.SANS, size: 16, weight: 600 });
    for (let i = 0; i < n(); i++) {
      const here = i >= before() && i < end();
      if (l.row >= 10 || i % 2 === 0) {
        p.text(x + l.label - 8, y + l.top + (i + 0.5) * l.row + 5, fit(token(i), l.label),
          { fill: i < end() ? c.ink : c.muted, anchor: "end", size: Math.min(14, l.row + 3), weight: here ? 700 : 400 });
      }
    }
    ["Q", "K", "V"].forEach((part, s) => {
      const sx = x + stripX(l, s), rows = rowsOf(name, part), d_head = d.d_head;
      p.text(sx + l.strip / 2, y + l.top - 10, part, { fill: c[role[part]], anchor: "middle", size: 17, weight: 700 });
      const [from, to] = rows.there;
      p.rect(sx, y + l.top, l.strip, n() * l.row, { stroke: c.line });
      p.matrix(d.arrays[part].subarray(from * d_head, to * d_head), to - from, d_head, sx, y + l.top + from * l.row,
        l.strip, (to - from) * l.row, maps.signed, -d.top[part], d.top[part]);
      finish(p, l, sx, y + l.top, l.strip, rows, c[role[part]], () => l.strip);
    });
    const ax = x + l.left, rows = rowsOf(name, "A");
    p.text(ax + n() * l.cell / 2, y + l.top - 10, "A", { fill: c.attention, anchor: "middle", size: 17, weight: 700 });
    p.rect(ax, y + l.top, n() * l.cell, n() * l.row, { stroke: c.line });
    const [from, to] = rows.there;
    p.matrix(d.arrays.A.subarray(from * n(), to * n()), to - from, n(), ax, y + l.top + from * l.row, n() * l.cell,
      (to - from) * l.row, maps.weights, 0, 1);
    finish(p, l, ax, y + l.top, n() * l.cell, rows, c.attention, (i) => (i + 1) * l.cell);
    const q = hover && hover.lane === name && hover.part === "A" ? hover.i : end() - 1;
    const k = hover && hover.lane === name && hover.part === "A" ? hover.j : key;
    box(p, ax + k * l.cell, y + l.top + q * l.row, l.cell, l.row, c.ink, 2);
    if (name === "kept" && before()) {
      const kx = x + stripX(l, 1) - 4;
      box(p, kx, y + l.top - 3, 2 * l.strip + l.gap + 8, before() * l.row + 3, c.ink, 1.5, [5, 4]);
    }
    grid(p, l, ax, y + l.under, name);
    counters(p, l, x, y + l.under, name);
  }

  function finish(p, l, x, y, w, { now, again }, stroke, wide) {
    for (let i = again[0]; i < again[1]; i++) {   // hatch: this has been computed before
      for (let s = 6; s < wide(i); s += 12) {
        p.line([[x + s - 3, y + (i + 1) * l.row - 2], [x + s + 3, y + i * l.row + 2]], { stroke: c.ink, opacity: 0.45 });
      }
    }
    box(p, x, y + now[0] * l.row, w, (now[1] - now[0]) * l.row, stroke, 3);
  }

  function box(p, x, y, w, h, stroke, lineWidth, dash) {
    p.line([[x, y], [x + w, y], [x + w, y + h], [x, y + h], [x, y]], { stroke, lineWidth, dash });
  }

  function grid(p, l, x, y, name) {   // token across, step down
    p.text(x, y - 8, n() * l.cell > 230 ? "token × step: who goes through the layers" : "token × step: who is read",
      { fill: c.muted, family: plot.SANS, size: 13 });
    for (let s = 0; s < count(); s++) {
      for (let i = 0; i < end(s); i++) {
        const works = name === "without" || i >= before(s), fresh = i >= before(s);
        const fill = !works ? gf.mix(c.background, c.residual, 0.14) : fresh ? c.residual : gf.mix(c.background, c.residual, 0.55);
        p.rect(x + i * l.cell + 0.5, y + s * l.step + 0.5, l.cell - 1, l.step - 1, { fill, opacity: s <= at ? 1 : 0.3 });
      }
    }
    box(p, x - 1, y + at * l.step - 0.5, end() * l.cell + 2, l.step + 1, c.ink, 1.5);
  }

  function counters(p, l, x, y, name) {
    const now = d.arrays[name][at], b = end(), rows = b - (name === "kept" ? before() : 0);
    const wide = l.left - 14, size = wide < 200 ? 13 : 15;
    const lines = [
      [`${rows} row${rows === 1 ? "" : "s"} of Q, K, V`, 600], [`${scores(name).toLocaleString("en-US")} scores a head`, 600],
      [big(now), 700], [`so far ${big(total(name))}`, 400],
    ];
    p.text(x, y - 8, "this step", { fill: c.muted, family: plot.SANS, size: 13 });
    lines.forEach(([text, weight], i) => p.text(x, y + 14 + 22 * i, text, { fill: c.ink, size, weight }));
  }

  function scores(name, step = at) {   // causal: row i has i + 1
    const b = end(step), a = before(step), triangle = (m) => m * (m + 1) / 2;
    return name === "without" ? triangle(b) : triangle(b) - triangle(a);
  }

  const total = (name) => d.arrays[name].subarray(0, at + 1).reduce((a, b) => a + b, 0);

  function legend(p, l, w) {
    const y = l.height - 12, items = [["frame", "computed in this step"], ["hatch", l.narrow ? "again" : "computed before, the same again"],
      ["dashed", l.narrow ? "kept" : "kept by the cache"]];
    let x = 0;
    for (const [kind, text] of items) {
      if (kind === "hatch") {
        for (let s = 0; s < 3; s++) p.line([[x + s * 7, y + 4], [x + s * 7 + 6, y - 8]], { stroke: c.ink, opacity: 0.55 });
      } else box(p, x, y - 9, 20, 14, kind === "frame" ? c.attention : c.ink, kind === "frame" ? 3 : 1.5, kind === "dashed" ? [5, 4] : null);
      p.text(x + 28, y + 3, text, { fill: c.ink, family: plot.SANS, size: 14 });
      x += 28 + 7.1 * text.length + 24;
    }
    if (x + 7.2 * d.where.length < w) p.text(w, y + 3, d.where, { fill: c.muted, family: plot.SANS, size: 14, anchor: "end" });
  }

  const fit = (text, room) => { const most = Math.max(3, Math.floor(room / 8.6)); return text.length > most ? `${text.slice(0, most - 1)}…` : text; };

  // ---- what is said ----
  function arithmetic(i, j) {
    const parts = [0, 1, 2].map((k) => `${gf.number(value("Q", i, k))}·${gf.number(value("K", j, k))}`).join(" + ");
    return [`S = (${parts} + … ${d.d_head} products) ${d.scale_text} = ${gf.number(score(i, j), 4)}`,
      `A = e^S / Σ e^S over ${i + 1} keys = ${gf.number(value("A", i, j), 4)}`];
  }

  function state(name, part, i) {
    if (i >= end()) return "not read yet";
    if (i >= before()) return "computed in this step";
    if (name === "without") return `computed again, for the ${nth(at + 1 - Math.max(0, i - d.prompt + 1))} time`;
    return part === "K" || part === "V" ? `kept since step ${Math.max(0, i - d.prompt + 1)}` : "not needed any more";
  }

  const nth = (k) => `${k}${["th", "st", "nd", "rd"][k % 100 > 10 && k % 100 < 14 ? 0 : Math.min(k % 10, 4) % 4]}`;

  function read() {
    const b = end(), ratio = d.arrays.without[at] / d.arrays.kept[at];
    const what = at ? `reads “${token(b - 1)}”` : `reads the prompt of ${d.prompt} tokens`;
    const next = d.next[at] === null ? "" : `, next comes “${gf.chipText(d.next[at])}”`;
    const agree = d.apart ? `. Logits differ by ${gf.number(d.arrays.apart[at], 2)} of the largest` : "";
    sum.textContent = `${at ? `Step ${at}` : "Prefill"} ${what}${next}: ${big(d.arrays.without[at])} without a cache, `
      + `${big(d.arrays.kept[at])} with it${at ? `, ${gf.number(ratio)} times less` : ", the same"}${agree}.\n`
      + `A[${token(b - 1)}, ${token(key)}]: ${arithmetic(b - 1, key).join("; ")}`;
    if (hover && hover.part === "A" && hover.i < end() && hover.j <= hover.i) {
      tip.show(hover.x, hover.y, [{ text: `“${token(hover.i)}” reads “${token(hover.j)}”: ${state(hover.lane, "A", hover.i)}`, strong: true },
        ...(state(hover.lane, "A", hover.i) === "not needed any more" ? [] : arithmetic(hover.i, hover.j))]);
    } else if (hover && hover.part !== "A") {
      const there = hover.i < end() && !(hover.lane === "kept" && hover.part === "Q" && hover.i < before());
      tip.show(hover.x, hover.y, [{ text: `${hover.part}[${token(hover.i)}, ${hover.j}]${there ? ` = ${gf.number(value(hover.part, hover.i, hover.j))}` : ""}`, strong: true },
        state(hover.lane, hover.part, hover.i)]);
    } else tip.hide();
    view.canvas.setAttribute("aria-label", `${d.label} ${sum.textContent}`);
    view.redraw();
  }

  // ---- what the learner does ----
  function go(step) {
    at = Math.max(0, Math.min(count() - 1, step));
    key = Math.min(key, end() - 1);
    slider.set(d.steps.values.map(String), at);
    read();
    clearTimeout(waiting);
    waiting = setTimeout(() => send.setStateValue("stand", { epoch: d.epoch, step: at }), 250);
  }

  function start() {
    if (at === count() - 1) go(0);
    play.setAttribute("aria-pressed", "true");
    play.textContent = "❚❚ Stop";
    film = setInterval(() => { go(at + 1); if (at === count() - 1) stop(); }, 900);
  }

  function stop() {
    clearInterval(film);
    film = 0;
    play.setAttribute("aria-pressed", "false");
    play.textContent = "▶ Play";
  }

  function under(event) {
    const rect = view.canvas.getBoundingClientRect(), l = layout(rect.width);
    const x = event.clientX - rect.left, y = event.clientY - rect.top;
    for (let i = 0; i < 2; i++) {
      const [ox, oy] = origin(l, i), r = Math.floor((y - oy - l.top) / l.row);
      if (r < 0 || r >= n() || x < ox) continue;
      const j = Math.floor((x - ox - l.left) / l.cell);
      if (j >= 0 && j < n()) return { lane: LANES[i][0], part: "A", i: r, j, x, y };
      for (let s = 0; s < 3; s++) {
        const dim = Math.floor((x - ox - stripX(l, s)) / l.strip * d.d_head);
        if (dim >= 0 && dim < d.d_head) return { lane: LANES[i][0], part: "QKV"[s], i: r, j: dim, x, y };
      }
    }
    return null;
  }

  view.canvas.addEventListener("pointermove", (event) => { if (d && event.pointerType !== "touch") { hover = under(event); read(); } });
  view.canvas.addEventListener("pointerleave", () => { hover = null; if (d) read(); });
  view.canvas.addEventListener("click", (event) => {
    const cell = d && under(event);
    if (!cell) return;
    stop();
    if (cell.part === "A") key = cell.j;
    go(Math.max(0, cell.i - d.prompt + 1));
  });
  const turn = (by) => () => { stop(); hover = null; go(at + by); };
  const choose = (by) => () => { hover = null; key = Math.max(0, Math.min(end() - 1, key + by)); read(); };
  gf.keys(view.canvas, { ArrowLeft: turn(-1), ArrowRight: turn(1), ArrowUp: choose(-1), ArrowDown: choose(1),
    Home: () => { stop(); go(0); }, End: () => { stop(); go(count() - 1); }, " ": () => (film ? stop() : start()) });

  return {
    update(component) {
      send = component;
      const old = d;
      d = gf.unpack(component.data);
      c = gf.colours(root);
      maps = { signed: gf.diverging(root), weights: gf.sequential(root) };
      if (!old || old.epoch !== d.epoch) {   // otherwise the step is the learner's
        stop();
        clearTimeout(waiting);
        at = d.steps.values.indexOf(d.steps.at);
        key = d.key;
      }
      at = Math.min(at, count() - 1);
      key = Math.min(key, end() - 1);
      slider.element.firstChild.textContent = d.steps.label;
      slider.set(d.steps.values.map(String), at);
      view.canvas.style.height = `${layout(view.size().width || 900).height}px`;
      read();
    },
    destroy() { clearTimeout(waiting); clearInterval(film); view.destroy(); },
  };
});
