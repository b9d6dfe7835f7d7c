/* Stacks of layers on points in the plane: what each says of every place, step after step of its training.

   The slider (or left and right) moves all maps through the steps, Play runs through them, the buttons (or up and down)
   choose the seed; the other seeds' lines stay, thin. Beside the maps the accuracy and the loss of every run. Hover a place
   for what the stack says there, and, where it is one matrix, how.
   Data: charts/boundary.py says what the header holds. Reports: stand, with step and seed where the learner left them and
   the epoch of the message they answer to. */
export default (component) => gf.mount(component, (root, first) => {
  let spec = null, c = null, frame = 0, wanted = 0, seed = 0, held = false, send = first, waiting = 0, cache = new Map();
  const steps = plot.scrubber("Step", (i) => { held = true; show(i); tell(); });
  const seeds = plot.buttons((name) => { seed = spec.seeds.indexOf(Number(name)); read(); tell(); });
  const play = player.make({ now: () => frame, last: () => newest(), go: (i) => { held = true; show(i); tell(); },
    clear: () => {}, beat: () => (gf.reducedMotion() ? 500 : 160), what: "Play the training" });
  const bar = Object.assign(document.createElement("div"), { className: "bar" });
  const source = Object.assign(document.createElement("span"), { className: "source" });
  bar.append(play.element, steps.element, seeds.element, source);
  root.append(bar);
  const view = gf.canvas(root, { label: "", draw: (ctx, w, h) => spec && draw(plot.onCanvas(ctx), w, h, true) });
  view.canvas.setAttribute("role", "slider");
  const tip = gf.tooltip(view.wrap);
  const under = Object.assign(document.createElement("div"), { className: "under" });
  const table = document.createElement("table"), scroll = Object.assign(document.createElement("div"), { className: "wide" });
  const { sum, tools } = plot.foot(view, () => spec.name, () => plot.saveSvg(`${spec.name}.svg`, view.size(), c.background,
    (p, w, h) => draw(p, w, h, false)));
  scroll.append(table);
  scroll.tabIndex = 0;
  under.append(sum, scroll, tools);
  root.append(under);

  const A = () => spec.arrays, frames = () => A().steps.length;
  const run = (tile, s = seed) => tile * spec.seeds.length + s;
  const count = (tile, s = seed) => A().count[run(tile, s)];
  const newest = () => Math.max(0, ...Array.from(A().count)) - 1;
  const near = (tile, s = seed) => Math.min(frame, count(tile, s) - 1);   // a run that is not as far shows its newest
  const number = (name, tile, s = seed) => A()[name][run(tile, s) * frames() + near(tile, s)];
  const where = (tile, s = seed) => ({ maps: A()[`maps ${tile} ${s}`], frame: near(tile, s) });
  const weight = (tile, k, i, s = seed) => A().W[((run(tile, s) * frames() + near(tile, s)) * spec.classes + k) * 3 + i];
  const isMatrix = (tile, s = seed) => count(tile, s) > 0 && Number.isFinite(weight(tile, 0, 0, s));
  const signed = (v, digits = 2) => v.toFixed(digits).replace("-", "−");
  const plus = (v) => (v < 0 ? ` − ${Math.abs(v).toFixed(2)}` : ` + ${v.toFixed(2)}`);

  function tell() {
    clearTimeout(waiting);
    waiting = setTimeout(() => send.setStateValue("stand", { epoch: spec.epoch, frame, seed: spec.seeds[seed] }), 250);
  }

  function show(i) {
    wanted = i;   // another run may be as far, though this one is not
    frame = Math.max(0, Math.min(newest(), i));
    steps.set(Array.from(A().steps).slice(0, newest() + 1).map(String), frame);
    read();
  }

  function layout(w) {   // on a wide page all maps in a row over the curves, on a phone two by two
    const small = w < 720, n = spec.tiles.length, gap = small ? 10 : 18, head = 26;
    const across = small ? Math.min(2, n) : n, down = Math.ceil(n / across);
    const side = Math.min(Math.floor((w - gap * (across - 1)) / across), 340), maps = down * (side + head + gap) - gap;
    const tiles = spec.tiles.map((_, i) => ({ x: (i % across) * (side + gap),
      y: head + Math.floor(i / across) * (side + gap + head), w: side }));
    const left = 46, right = small ? 12 : 92, high = small ? 130 : 170, top = maps + 46;
    const each = small ? w : (w - 30) / 2;
    const curves = [0, 1].map((i) => ({ x: left + (small ? 0 : i * (each + 30)), y: top + (small ? i * (high + 46) : 0),
      w: each - left - right, h: high }));
    return { tiles, curves, small, height: curves[1].y + high + 46 };
  }

  function draw(p, w, h, sizing) {
    const l = layout(w);
    if (sizing && Math.abs(h - l.height) > 1) { view.canvas.style.height = `${l.height}px`; return; }
    spec.tiles.forEach((tile, i) => map(p, tile, i, l.tiles[i], l.small));
    curve(p, l.curves[0], "accuracy", l.small ? "Accuracy on unseen points" : "Accuracy on points it did not learn from", l.small);
    curve(p, l.curves[1], "loss", "Loss on the points it learns from", l.small);
  }

  function map(p, tile, i, box, small) {
    p.text(box.x, box.y - 9, small ? tile.short : tile.title, { fill: c.ink, family: plot.SANS, size: small ? 14 : 15, weight: 600 });
    if (count(i)) {
      const right = plot.tick(number("accuracy", i), true).replace(/^([\d.]+)%$/, (_, v) => `${Number(v).toFixed(0)}%`);
      p.text(box.x + box.w, box.y - 9, right, { fill: tile.role === "muted" ? c.muted : c[tile.role], anchor: "end", size: 15, weight: 600 });
      picture(p, i, box);
      spec.seeds.forEach((_, s) => {
        if (s !== seed && count(i, s)) border(p, i, s, box, { stroke: c.ink, lineWidth: 1, opacity: 0.4 });
      });
      border(p, i, seed, box, { stroke: c.ink, lineWidth: 2.5 });
    } else {
      p.rect(box.x, box.y, box.w, box.w, { fill: c.panel });
    }
    boundary_paint.points(p, c, spec, box);
    p.rect(box.x, box.y, box.w, box.w, { stroke: c.line });
  }

  function border(p, i, s, box, look) {   // of one matrix: from the matrix, as the map is too coarse for its slopes
    const key = `line ${i} ${s} ${near(i, s)}`;
    if (!cache.has(key)) {
      const n = spec.side, place = (j) => spec.reach * (2 * (j + 0.5) / n - 1);
      const score = (k, row, col) => weight(i, k, 0, s) * place(col) + weight(i, k, 1, s) * place(n - 1 - row) + weight(i, k, 2, s);
      cache.set(key, boundary_paint.contour(spec, where(i, s), isMatrix(i, s) ? score : null));
    }
    p.line(cache.get(key).map(([x, y]) => [box.x + x * box.w, box.y + y * box.w]), look);
  }

  function picture(p, i, box) {
    const key = `${i} ${seed} ${near(i)} ${Math.round(box.w)}`;
    if (!cache.has(key)) boundary_paint.map({ image: (large) => cache.set(key, large) }, c, spec, where(i), box);
    p.image(cache.get(key), box.x, box.y, box.w, box.w);
  }

  function curve(p, box, name, title, small) {
    const shown = Array.from(A()[name]).filter(Number.isFinite), steps = A().steps;
    const top = name === "accuracy" ? 1.02 : Math.max(0.75, ...shown), low = name === "accuracy" ? Math.min(0.4, ...shown) : 0;
    const x = plot.scale(0, steps[frames() - 1], box.x, box.x + box.w), y = plot.scale(low, top, box.y + box.h, box.y);
    plot.frame(p, c, box, x, y, { countX: 4, countY: 3, percentY: name === "accuracy" });
    p.text(small ? 4 : box.x, box.y - 10, title, { fill: c.ink, family: plot.SANS, size: 15, weight: 600 });
    p.text(box.x + box.w, box.y + box.h + 36, "step", { fill: c.ink, anchor: "end", family: plot.SANS, size: 14 });
    const labels = [];
    spec.tiles.forEach((tile, i) => {
      const stroke = c[tile.role];
      spec.seeds.forEach((_, s) => {
        const n = count(i, s), from = run(i, s) * frames(), points = [];
        for (let f = 0; f < n; f++) points.push([x(steps[f]), y(Math.min(top, A()[name][from + f]))]);
        p.line(points, { stroke, lineWidth: s === seed ? 2.5 : 1, opacity: s === seed ? 1 : 0.45, dash: tile.dash });
        if (s === seed && n) labels.push({ text: tile.short, fill: stroke, y: points[n - 1][1] + 5 });
      });
    });
    const cursor = x(steps[frame]);
    p.line([[cursor, box.y], [cursor, box.y + box.h]], { stroke: c.ink, opacity: 0.55 });
    spec.tiles.forEach((tile, i) => {
      if (count(i)) p.circle(x(steps[near(i)]), y(Math.min(top, number(name, i))), 4.5, { fill: c[tile.role], stroke: c.background, lineWidth: 2 });
    });
    if (small) return;
    labels.sort((a, b) => a.y - b.y);
    for (let i = 1; i < labels.length; i++) labels[i].y = Math.max(labels[i].y, labels[i - 1].y + 17);
    const over = labels.length ? Math.max(0, labels[labels.length - 1].y - box.y - box.h - 5) : 0;
    for (const one of labels) p.text(box.x + box.w + 10, one.y - over, one.text, { fill: one.fill, family: plot.SANS, size: 14, weight: 600 });
  }

  function fillTable() {
    table.replaceChildren();
    const linear = spec.tiles.map((_, i) => i).filter(isMatrix);
    scroll.hidden = !linear.length;
    if (!linear.length) return;
    const cell = (kind, text, scope) => {
      const one = document.createElement(kind);
      one.textContent = text;
      if (scope) one.scope = scope;
      return one;
    };
    const head = document.createElement("tr"), body = document.createElement("tbody"), thead = document.createElement("thead");
    head.append(cell("td", ""), ...["W_eff", "b_eff", "singular values", "rank", "largest difference"].map((t) => cell("th", t, "col")));
    for (const i of linear) {
      const ks = Array.from({ length: spec.classes }, (_, k) => k), sigma = (run(i) * frames() + near(i)) * 2;
      const row = document.createElement("tr");
      row.append(cell("th", spec.tiles[i].title, "row"),
        cell("td", `[${ks.map((k) => `[${signed(weight(i, k, 0))}, ${signed(weight(i, k, 1))}]`).join(", ")}]`),
        cell("td", `[${ks.map((k) => signed(weight(i, k, 2))).join(", ")}]`),
        cell("td", [0, 1].map((j) => gf.number(A().singular[sigma + j])).join(", ")), cell("td", String(number("rank", i))),
        cell("td", gf.number(number("gap", i), 2)));
      body.append(row);
    }
    thead.append(head);
    table.append(thead, body);
  }

  function read() {
    fillTable();
    const said = spec.tiles.map((tile, i) => (count(i) ? `${tile.title} ${(100 * number("accuracy", i)).toFixed(1)} %` : "")).filter(Boolean);
    sum.textContent = said.length ? `After ${A().steps[frame]} steps, seed ${spec.seeds[seed]}, unseen points named right: ${said.join(" · ")}` : "";
    view.canvas.setAttribute("aria-valuemin", 0);
    view.canvas.setAttribute("aria-valuemax", A().steps[Math.max(0, newest())]);
    view.canvas.setAttribute("aria-valuenow", A().steps[frame]);
    view.canvas.setAttribute("aria-valuetext", sum.textContent);
    play.read();
    view.redraw();
  }

  function arithmetic(i, u, v) {
    const n = spec.side, clamp = (j) => Math.max(0, Math.min(n - 1, j));
    const cell = clamp(Math.floor((spec.reach - v) / (2 * spec.reach) * n)) * n + clamp(Math.floor((u + spec.reach) / (2 * spec.reach) * n));
    const lines = [{ text: `x = (${signed(u)}, ${signed(v)})`, strong: true }], ks = Array.from({ length: spec.classes }, (_, k) => k);
    if (!isMatrix(i)) {
      return [...lines, ...ks.map((k) => `p(${"●■▲"[k]}) = ${boundary_paint.share(spec, where(i), k, cell).toFixed(2)}`),
        "No W_eff: the slope is another at every place."];
    }
    const y = ks.map((k) => weight(i, k, 0) * u + weight(i, k, 1) * v + weight(i, k, 2)), most = Math.max(...y);
    const e = y.map((s) => Math.exp(s - most)), total = e.reduce((a, b) => a + b, 0);
    const factor = (x) => (x < 0 ? `(${signed(x)})` : signed(x));
    return [...lines, ...ks.map((k) => `${"●■▲"[k]} ${signed(weight(i, k, 0))}·${factor(u)}${plus(weight(i, k, 1))}·${factor(v)}`
      + `${plus(weight(i, k, 2))} = ${signed(y[k])}`), `softmax: ${ks.map((k) => `p(${"●■▲"[k]}) = ${(e[k] / total).toFixed(2)}`).join(", ")}`];
  }

  function at(event) {
    const rect = view.canvas.getBoundingClientRect(), l = layout(rect.width);
    const x = event.clientX - rect.left, y = event.clientY - rect.top;
    const tile = l.tiles.findIndex((box) => x >= box.x && x < box.x + box.w && y >= box.y && y < box.y + box.w);
    const box = l.curves.find((b) => x >= b.x - 6 && x <= b.x + b.w + 6 && y >= b.y - 6 && y <= b.y + b.h + 24);
    return { x, y, tile, box, l };
  }

  function drag({ x, box }) {
    const target = plot.scale(0, A().steps[frames() - 1], box.x, box.x + box.w).invert(x), steps = A().steps;
    let best = 0;
    for (let f = 0; f <= newest(); f++) if (Math.abs(steps[f] - target) < Math.abs(steps[best] - target)) best = f;
    held = true;
    show(best);
    tell();
  }

  let dragging = null;
  view.canvas.addEventListener("pointerdown", (event) => {
    const found = spec && at(event);
    if (!found || !found.box) return;
    play.stop();
    dragging = found.box;
    view.canvas.setPointerCapture(event.pointerId);
    drag(found);
  });
  view.canvas.addEventListener("pointermove", (event) => {
    if (!spec) return;
    const found = at(event);
    if (dragging) { drag({ ...found, box: dragging }); return; }
    view.canvas.style.cursor = found.box ? "ew-resize" : found.tile >= 0 ? "crosshair" : "default";
    if (found.tile < 0 || !count(found.tile)) { tip.hide(); return; }
    const box = found.l.tiles[found.tile], unit = 2 * spec.reach / box.w;
    tip.show(found.x, found.y, arithmetic(found.tile, (found.x - box.x) * unit - spec.reach, spec.reach - (found.y - box.y) * unit));
  });
  const drop = () => { dragging = null; };
  view.canvas.addEventListener("pointerup", drop);
  view.canvas.addEventListener("pointercancel", drop);
  view.canvas.addEventListener("pointerleave", () => tip.hide());
  const other = (by) => () => {
    seed = (seed + by + spec.seeds.length) % spec.seeds.length;
    seeds.set("Seed", spec.seeds.map(String), String(spec.seeds[seed]));
    read();
    tell();
  };
  gf.keys(view.canvas, { ArrowLeft: () => play.take(-1), ArrowRight: () => play.take(1), ArrowUp: other(-1), ArrowDown: other(1),
    Home: () => { play.stop(); held = true; show(0); tell(); }, End: () => { play.stop(); show(newest()); tell(); }, " ": () => play.toggle() });

  return {
    update(component) {
      send = component;
      const before = spec;
      spec = gf.unpack(component.data);
      c = gf.colours(root);
      cache = new Map();
      const kept = before && before.epoch === spec.epoch;
      if (!kept) { clearTimeout(waiting); play.stop(); seed = spec.seeds.indexOf(spec.seed); held = false; wanted = spec.frame; }
      if (spec.growing && !(before && before.growing)) held = false;   // a run set out: look on
      if (spec.growing && !held) wanted = newest();
      source.textContent = spec.source;
      seeds.set("Seed", spec.seeds.map(String), String(spec.seeds[seed]));
      view.canvas.setAttribute("aria-label", spec.label);
      show(wanted);
    },
    destroy() { clearTimeout(waiting); play.stop(); view.destroy(); },
  };
});
