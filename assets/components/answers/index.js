/* What a model says next, as it is and after a cut, for every place where the cut can be made.

   Left, a curve over the places (layers, tokens) for each kind of cut, one cursor through it; right, the likeliest next
   tokens at the cursor: how probable each was (outline) and is (filled). The slider, a drag in the curve, or left and right
   choose the place, the buttons the kind; all from frames that the server computed. Hover a token for its numbers.
   Data: charts/answers.py says what the header holds. Reports: stand, with place and kind where the learner left them, and
   the epoch of the message that they answer to. */
export default (component) => gf.mount(component, (root, first) => {
  const ROW = 34, TOP = 28;
  let spec = null, c = null, frame = 0, kind = 0, hover = null, dragging = false, send = first, waiting = 0;
  const places = plot.scrubber("", (i) => { frame = i; read(); tell(); });
  const kinds = plot.buttons((name) => { kind = spec.kinds.values.indexOf(name); fillTable(); read(); tell(); });
  const bar = document.createElement("div");
  bar.className = "bar";
  bar.append(kinds.element, places.element);
  root.append(bar);
  const view = gf.canvas(root, { label: "", draw: (ctx, w, h) => spec && draw(plot.onCanvas(ctx), w, h, true) });
  const tip = gf.tooltip(view.wrap);
  const under = document.createElement("div"), table = document.createElement("table");
  under.className = "under";
  const { sum, tools } = plot.foot(view, () => spec.name, () => plot.saveSvg(`${spec.name}.svg`, view.size(), c.background,
    (p, w, h) => draw(p, w, h, false)));
  under.append(sum, table, tools);
  root.append(under);
  let cells = [];

  const count = () => spec.places.values.length, size = () => spec.kinds.values.length;
  const rows = () => spec.arrays.before.shape[2];
  const of = (array, j) => array[(frame * size() + kind) * rows() + j];
  const fact = (array) => array[frame * size() + kind];
  const token = (j) => spec.tokens[frame][kind][j];
  const narrow = (w) => w < 720;
  const share = (p) => (p < 0.0005 ? gf.number(p, 2) : p.toFixed(3));

  function tell() {
    clearTimeout(waiting);
    waiting = setTimeout(() => send.setStateValue("stand", { epoch: spec.epoch, place: spec.places.values[frame],
      kind: spec.kinds.values[kind] }), 250);
  }

  function layout(w) {
    const small = narrow(w), left = small ? 46 : 56, right = small ? 12 : 24, needed = TOP + rows() * ROW + 8;
    const wide = small ? w : Math.round(w * 0.56), curve = small ? 200 : Math.max(360, needed - 50);
    const by = small ? TOP + curve + 84 : TOP, bx = small ? 4 : wide + 20;
    const label = Math.min(150, Math.round((w - bx) * 0.36));
    return { box: { x: left, y: TOP, w: wide - left - right, h: curve }, small,
      list: { x: bx, y: by, label, sx: bx + label + 8, sw: w - bx - label - 70 },
      height: Math.max(TOP + curve + 56, by + needed) };
  }

  const xOf = (box) => plot.scale(0, Math.max(1, count() - 1), box.x, box.x + box.w);

  function draw(p, w, h, sizing) {
    const l = layout(w);
    if (sizing && Math.abs(h - l.height) > 1) { view.canvas.style.height = `${l.height}px`; return; }
    curve(p, l);
    list(p, l.list);
  }

  function curve(p, { box, small }) {
    const x = xOf(box), { lo, hi, log } = spec.curve, y = plot.scale(lo, hi, box.y + box.h, box.y, log);
    p.text(small ? 4 : box.x, box.y - 11, spec.curve.title, { fill: c.ink, family: plot.SANS, size: 15, weight: 600 });
    for (const value of plot.ticks(lo, hi, 4, log)) {
      p.line([[box.x, y(value)], [box.x + box.w, y(value)]], { stroke: c.line });
      p.text(box.x - 8, y(value) + 4, plot.tick(value), { fill: c.muted, anchor: "end" });
    }
    let free = -Infinity;
    spec.places.values.forEach((place, i) => {
      const text = String(place), room = 8 * text.length + 12;
      if (x(i) - room / 2 < free || text.length > 9) return;
      free = x(i) + room / 2;
      const within = small ? Math.min(x(i), box.x + box.w + 12 - 4 * text.length) : x(i);   // 12: the margin at the right
      p.text(within, box.y + box.h + 18, text, { fill: c.muted, anchor: "middle" });
    });
    p.text(box.x + box.w / 2, box.y + box.h + 42, spec.places.label, { fill: c.ink, anchor: "middle", family: plot.SANS, size: 15 });
    if (spec.curve.whole !== null) {
      const at = y(spec.curve.whole);
      p.line([[box.x, at], [box.x + box.w, at]], { stroke: c.ink, dash: [5, 4] });
      p.text(box.x + box.w - 4, at + 18, spec.curve.said, { fill: c.ink, family: plot.SANS, anchor: "end" });
    }
    const values = spec.arrays.curve, shown = (v) => (v >= lo || !log ? y(Math.min(hi, Math.max(lo, v))) : y(lo));
    const order = spec.kinds.values.map((_, k) => k).sort((a, b) => (a === kind) - (b === kind));
    for (const k of order) {
      const mine = k === kind, base = spec.curve.base && k === 0;   // base: the first kind is the model as it is
      const stroke = mine ? c[spec.roles[k]] : base ? c.ink : gf.mix(c.background, c.muted, 0.5);
      const points = spec.places.values.map((_, i) => [x(i), shown(values[i * size() + k])]);
      p.line(points, { stroke, lineWidth: mine ? 3 : 1.5, dash: base && !mine ? [5, 4] : null });
      for (const [px, py] of points) if (Number.isFinite(py)) p.circle(px, py, mine ? 3.5 : 2, { fill: stroke });
    }
    const px = x(frame), v = values[frame * size() + kind];
    p.line([[px, box.y], [px, box.y + box.h]], { stroke: c.ink, opacity: 0.55 });
    if (Number.isFinite(v)) p.circle(px, shown(v), 6, { fill: c[spec.roles[kind]], stroke: c.background, lineWidth: 2 });
  }

  function list(p, l) {
    const fill = c[spec.roles[kind]];
    p.rect(l.sx, l.y - 22, 14, 12, { stroke: c.ink, fill: c.background });
    p.text(l.sx + 20, l.y - 11, spec.columns[0], { fill: c.ink, family: plot.SANS, size: 15, weight: 600 });
    const next = l.sx + 34 + 8 * spec.columns[0].length;
    p.rect(next, l.y - 22, 14, 12, { fill });
    p.text(next + 20, l.y - 11, spec.columns[1], { fill, family: plot.SANS, size: 15, weight: 600 });
    for (let j = 0; j < rows(); j++) {
      const y = l.y + j * ROW, was = of(spec.arrays.before, j), is = of(spec.arrays.after, j);
      if (hover === j) p.rect(l.x, y, l.label + l.sw + 66, ROW, { fill: c.panel, radius: 4 });
      p.text(l.sx - 8, y + 22, clip(token(j), l.label), { fill: c.ink, anchor: "end", size: 14 });
      p.rect(l.sx, y + 6, Math.max(1, is * l.sw), ROW - 12, { fill, radius: 2, opacity: 0.85 });
      p.rect(l.sx, y + 3, Math.max(1, was * l.sw), ROW - 6, { stroke: c.ink, radius: 2, fill: "rgba(0, 0, 0, 0)" });
      p.text(l.sx + Math.max(1, was * l.sw, is * l.sw) + 7, y + 22, share(is), { fill: c.ink, size: 14 });
    }
  }

  function clip(text, width) {
    const letters = Array.from(gf.chipText(text)), most = Math.floor((width - 8) / 8.5);
    return letters.length > most ? `${letters.slice(0, most - 1).join("")}…` : letters.join("");
  }

  function fillTable() {
    table.replaceChildren();
    cells = [];
    const head = document.createElement("tr"), thead = document.createElement("thead"), body = document.createElement("tbody");
    head.append(document.createElement("td"), ...spec.columns.map((title) => {
      const th = document.createElement("th");
      th.scope = "col";
      th.textContent = title;
      return th;
    }));
    thead.append(head);
    for (const one of spec.facts) {
      const tr = document.createElement("tr"), th = document.createElement("th");
      th.scope = "row";
      th.textContent = one.name;
      const made = [one.before, one.after].map((key) => {
        const td = document.createElement("td");
        cells.push([td, key]);
        return td;
      });
      tr.append(th, ...made);
      body.append(tr);
    }
    table.append(thead, body);
  }

  const number = (v) => (Number.isNaN(v) ? "–" : gf.number(v, 4));

  function read() {
    for (const [td, key] of cells) td.textContent = number(fact(spec.arrays[key]));
    const where = `${spec.kinds.values[kind]}, ${spec.places.label} ${spec.places.values[frame]}`;
    const j = hover ?? 0, name = gf.chipText(token(j));
    sum.textContent = `${where}: p(“${name}”) ${share(of(spec.arrays.before, j))} → ${share(of(spec.arrays.after, j))}`;
    view.canvas.setAttribute("aria-valuenow", frame);
    view.canvas.setAttribute("aria-valuetext", sum.textContent);
    view.redraw();
  }

  function move(to) {
    if (to === frame || to < 0 || to >= count()) return;
    frame = to;
    places.set(spec.places.values.map(String), frame);
    read();
    tell();
  }

  function found(event) {
    const rect = view.canvas.getBoundingClientRect(), { box, list: l } = layout(rect.width);
    const x = event.clientX - rect.left, y = event.clientY - rect.top, j = Math.floor((y - l.y) / ROW);
    return { x, y, row: x >= l.x && j >= 0 && j < rows() ? j : null,
      place: x >= box.x - 12 && x <= box.x + box.w + 12 && y >= box.y - 8 && y <= box.y + box.h + 28
        ? Math.max(0, Math.min(count() - 1, Math.round(xOf(box).invert(x)))) : null };
  }

  view.canvas.addEventListener("pointerdown", (event) => {
    const { place } = found(event);
    if (!spec || place === null) return;
    dragging = true;
    view.canvas.setPointerCapture(event.pointerId);
    move(place);
  });
  view.canvas.addEventListener("pointermove", (event) => {
    if (!spec) return;
    const { x, y, row, place } = found(event);
    if (dragging) { if (place !== null) move(place); return; }
    view.canvas.style.cursor = place === null ? "default" : "ew-resize";
    const before = hover;
    hover = place === null ? row : null;
    if (hover === null) tip.hide();
    else {
      const was = of(spec.arrays.before, hover), is = of(spec.arrays.after, hover);
      tip.show(x, y, [{ text: gf.chipText(token(hover)), strong: true }, `${spec.columns[0]}: ${gf.number(was, 4)}`,
        `${spec.columns[1]}: ${gf.number(is, 4)}`, `× ${gf.number(is / was)}`]);
    }
    if (before !== hover) read();
  });
  const drop = () => { dragging = false; };
  view.canvas.addEventListener("pointerup", drop);
  view.canvas.addEventListener("pointercancel", drop);
  view.canvas.addEventListener("pointerleave", () => { hover = null; tip.hide(); if (spec) read(); });
  gf.keys(view.canvas, { ArrowLeft: () => move(frame - 1), ArrowRight: () => move(frame + 1), ArrowDown: () => move(frame - 1),
    ArrowUp: () => move(frame + 1), Home: () => move(0), End: () => move(count() - 1) });

  return {
    update(component) {
      send = component;
      const before = spec;
      spec = gf.unpack(component.data);
      c = gf.colours(root);
      const kept = before && before.epoch === spec.epoch;   // place and kind are the learner's
      if (!kept) clearTimeout(waiting);
      const index = (choice, was) => choice.values.indexOf(kept && choice.values.includes(was) ? was : choice.at);
      frame = index(spec.places, before && before.places.values[frame]);
      kind = index(spec.kinds, before && before.kinds.values[kind]);
      hover = null;
      tip.hide();
      places.element.firstChild.textContent = spec.places.label;
      places.set(spec.places.values.map(String), frame);
      kinds.set(spec.kinds.label, spec.kinds.values, spec.kinds.values[kind]);
      view.canvas.setAttribute("role", "slider");
      view.canvas.setAttribute("aria-label", spec.label);
      view.canvas.setAttribute("aria-valuemin", 0);
      view.canvas.setAttribute("aria-valuemax", count() - 1);
      fillTable();
      const { width } = view.size();
      if (width) view.canvas.style.height = `${layout(width).height}px`;
      read();
    },
    destroy() { clearTimeout(waiting); view.destroy(); },
  };
});
