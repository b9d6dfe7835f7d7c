/* Rows of attention weights as the scores behind them grow.

   Left: curves over all sizes of the scores (d_k, or a factor), one cursor through all. Right: one row at the cursor, key
   by key: its scores, and the weights that the softmax makes of them. The first slider (or a drag in the curves, or left
   and right) chooses the size, the second (or up and down) the row, the switch the variant; all from frames that the
   server computed. Hover a key for its arithmetic.
   Data: charts/saturation.py says what the header holds. Reports: stand, with size, row and switch where the learner left
   them, and the epoch of the message they answer to. */
export default (component) => gf.mount(component, (root, first) => {
  const ROW = 24, GAP = 42, TOP = 26;
  let spec = null, c = null, frame = 0, row = 0, on = false, hover = null, dragging = false, send = first, waiting = 0;
  const sizes = plot.scrubber("", (i) => { frame = i; read(); tell(); });
  const rows = plot.scrubber("", (i) => { row = i; read(); tell(); });
  const bar = document.createElement("div"), toggle = document.createElement("label");
  const check = document.createElement("input"), called = document.createElement("span");
  bar.className = "bar";
  toggle.className = "switch";
  check.type = "checkbox";
  check.setAttribute("role", "switch");
  check.addEventListener("change", () => { on = check.checked; fillTable(); read(); tell(); });
  toggle.append(check, called);
  bar.append(sizes.element, rows.element, toggle);
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

  const variants = () => spec.columns.length;
  const variant = () => (variants() > 1 && on ? 1 : 0);
  const keys = () => spec.arrays.keys.shape[1];
  const real = () => {   // keys that this row has
    let n = 0;
    while (n < keys() && spec.arrays.keys[row * keys() + n] >= 0) n++;
    return n;
  };
  const count = () => spec.sizes.values.length;
  const name = (j) => spec.names[spec.arrays.keys[row * keys() + j]];
  const rowCount = () => spec.rows.values.length;
  const at = (array, j) => array[((variant() * count() + frame) * rowCount() + row) * keys() + j];
  const raw = (j) => {
    const a = spec.arrays.raw, own = a.shape[0] === 1 ? 0 : frame;
    return a[(own * rowCount() + row) * keys() + j];
  };
  const total = () => spec.arrays.total[(variant() * count() + frame) * rowCount() + row];
  const narrow = (w) => w < 720;
  const fixed = (v) => v.toFixed(Math.abs(v) < 9.995 ? 2 : 1).replace(/^-(?=0\.0+$)/, "").replace("-", "−");

  function tell() {
    clearTimeout(waiting);
    waiting = setTimeout(() => send.setStateValue("stand", { epoch: spec.epoch, size: spec.sizes.values[frame],
      row: spec.rows.values[row], switch: on }), 250);
  }

  function layout(w) {
    const small = narrow(w), left = small ? 46 : 56, right = small ? 12 : 92;
    const wide = small ? w : Math.round(w * 0.57);
    const each = small ? 108 : 0, most = Math.max(1, keys());
    const needed = TOP + most * ROW + 12, n = spec.plots.length;
    const curves = small ? TOP + n * each + (n - 1) * GAP + 50 : Math.max(500, needed);
    const high = small ? each : (curves - TOP - 50 - (n - 1) * GAP) / n;
    const boxes = spec.plots.map((_, i) => ({ x: left, y: TOP + i * (high + GAP), w: wide - left - right, h: high }));
    const bx = small ? 4 : wide + 18, by = small ? curves + 34 : TOP;
    const label = Math.min(112, 16 + 8 * Math.max(...spec.names.map((s) => Array.from(s).length)));
    const space = w - bx - label - 8, half = space * 0.42;
    const list = { x: bx, y: by, label, sx: bx + label, sw: half - 10, ax: bx + label + half, aw: space - half - 46 };
    return { boxes, list, height: small ? by + needed : Math.max(curves, by + needed) };
  }

  const xOf = (box) => plot.scale(spec.arrays.at[0], spec.arrays.at[count() - 1], box.x, box.x + box.w);
  const there = (one) => one.variant === null || one.variant === variant();
  const tint = (one) => (one.quiet ? gf.mix(c.background, c.muted, 0.45) : there(one) ? c[one.role]
    : gf.mix(c.background, c.muted, 0.6));

  function draw(p, w, h, sizing) {
    const l = layout(w);
    if (sizing && Math.abs(h - l.height) > 1) { view.canvas.style.height = `${l.height}px`; return; }
    spec.plots.forEach((one, i) => panel(p, one, l.boxes[i], w, i === spec.plots.length - 1));
    list(p, l.list);
  }

  function panel(p, one, box, w, last) {
    const x = xOf(box), y = plot.scale(one.lo, one.hi, box.y + box.h, box.y, one.log);
    p.text(narrow(w) ? 4 : box.x, box.y - 11, narrow(w) ? one.short : one.title,
      { fill: c.ink, family: plot.SANS, size: 15, weight: 600 });
    for (const value of plot.ticks(one.lo, one.hi, box.h < 110 && !one.log ? 2 : 3, one.log)) {
      p.line([[box.x, y(value)], [box.x + box.w, y(value)]], { stroke: c.line });
      p.text(box.x - 8, y(value) + 4, plot.tick(value), { fill: c.muted, anchor: "end" });
    }
    let free = -Infinity;
    spec.sizes.values.forEach((size, i) => {
      const text = String(size), px = x(spec.arrays.at[i]), room = 8 * text.length + 14;
      if (px - room / 2 < free) return;
      free = px + room / 2;
      p.line([[px, box.y], [px, box.y + box.h]], { stroke: c.line, opacity: 0.6 });
      if (last) p.text(px, box.y + box.h + 18, text, { fill: c.muted, anchor: "middle" });
    });
    if (last) p.text(box.x + box.w / 2, box.y + box.h + 44, spec.axis, { fill: c.ink, anchor: "middle", family: plot.SANS, size: 15 });
    for (const mark of spec.marks) {
      const px = x(mark.x);
      p.line([[px, box.y], [px, box.y + box.h]], { stroke: c.muted, dash: [2, 4] });
      if (!narrow(w) && one === spec.plots[0]) p.text(px + 6, box.y + 14, mark.text, { fill: c.muted, family: plot.SANS });
    }
    const inside = (v) => (v >= one.lo && v <= one.hi ? y(v) : v < one.lo && !one.log ? NaN : y(Math.min(one.hi, Math.max(one.lo, v))));
    const order = [...one.series].sort((a, b) => there(a) - there(b) || b.quiet - a.quiet);
    for (const series of order) {
      const px = (i) => x(spec.arrays.at[i]), index = Array.from(spec.arrays.at, (_, i) => i);
      if (series.kind === "band") {
        const lo = spec.arrays[series.lo], hi = spec.arrays[series.hi];
        if (there(series)) {
          p.area([...index.map((i) => [px(i), inside(hi[i])]), ...index.reverse().map((i) => [px(i), inside(lo[i])])],
            { fill: c[series.role], opacity: 0.16 });
        }
        continue;
      }
      const values = spec.arrays[series.y];
      p.line(index.map((i) => [px(i), inside(values[i])]),
        { stroke: tint(series), lineWidth: series.quiet ? 1 : there(series) ? 2.5 : 1.75, dash: series.dash });
    }
    const cursor = x(spec.arrays.at[frame]);
    p.line([[cursor, box.y], [cursor, box.y + box.h]], { stroke: c.ink, opacity: 0.6 });
    for (const series of order) {
      if (series.kind !== "line" || series.quiet || series.dash) continue;
      p.circle(cursor, inside(spec.arrays[series.y][frame]), there(series) ? 5 : 3.5,
        { fill: tint(series), stroke: c.background, lineWidth: 2 });
    }
    if (!narrow(w)) labels(p, one, box, inside);
    if (last) {
      const text = `${spec.symbol} = ${spec.sizes.values[frame]}`, wide = 8.6 * text.length + 12;
      const middle = Math.max(wide / 2 + 1, cursor);
      p.rect(middle - wide / 2, box.y + box.h + 3, wide, 22, { fill: c.ink, radius: 6 });
      p.text(middle, box.y + box.h + 18.5, text, { fill: c.background, anchor: "middle", size: 14 });
    }
  }

  function labels(p, one, box, inside) {
    const found = one.series.filter((s) => s.kind === "line" && s.label).map((s) => ({ text: s.label,
      fill: there(s) ? c[s.role] : c.muted, y: inside(spec.arrays[s.y][count() - 1]) + 5 })).sort((a, b) => a.y - b.y);
    for (let i = 1; i < found.length; i++) found[i].y = Math.max(found[i].y, found[i - 1].y + 16);
    const over = found.length ? Math.max(0, found[found.length - 1].y - box.y - box.h - 6) : 0;
    for (const one of found) p.text(box.x + box.w + 8, one.y - over, one.text, { fill: one.fill, family: plot.SANS, size: 14, weight: 600 });
  }

  function list(p, l) {
    const n = real(), S = [], A = [];
    for (let j = 0; j < n; j++) { S.push(at(spec.arrays.scores, j)); A.push(at(spec.arrays.weights, j)); }
    const most = Math.max(1, ...S.map(Math.abs)), zero = l.sx + l.sw / 2;
    p.text(l.sx, l.y - 11, "scores", { fill: c.scores, family: plot.SANS, size: 15, weight: 600 });
    p.text(l.ax, l.y - 11, "weights", { fill: c.attention, family: plot.SANS, size: 15, weight: 600 });
    p.line([[zero, l.y], [zero, l.y + n * ROW]], { stroke: c.line });
    for (let j = 0; j < n; j++) {
      const y = l.y + j * ROW, size = Math.abs(S[j]) / most * (l.sw / 2 - 4);
      if (hover === j) p.rect(l.x, y, l.ax + l.aw + 46 - l.x, ROW, { fill: c.panel, radius: 4 });
      p.text(l.sx - 8, y + 17, clip(name(j), l.label), { fill: c.ink, anchor: "end", size: 13 });
      p.rect(S[j] < 0 ? zero - size : zero, y + 5, Math.max(1, size), ROW - 10, { fill: c.scores });
      const inner = S[j] < 0 ? { x: zero + 5, anchor: "start" } : { x: zero - 5, anchor: "end" };
      if (l.sw > 96) p.text(inner.x, y + 17, fixed(S[j]), { fill: c.muted, anchor: inner.anchor, size: 12 });
      p.rect(l.ax, y + 3, Math.max(1, A[j] * l.aw), ROW - 6, { fill: c.attention, radius: 2 });
      p.text(l.ax + Math.max(1, A[j] * l.aw) + 6, y + 17, A[j] < 0.0005 ? gf.number(A[j], 2) : A[j].toFixed(3),
        { fill: c.ink, size: 13 });
    }
  }

  function clip(text, width) {
    const letters = Array.from(gf.chipText(text)), most = Math.floor((width - 12) / 8);
    return letters.length > most ? `${letters.slice(0, most - 1).join("")}…` : letters.join("");
  }

  const keyName = (j) => (name(j).startsWith("key ") ? name(j) : `key ${gf.chipText(name(j))}`);

  function arithmetic(j) {
    const S = at(spec.arrays.scores, j), A = at(spec.arrays.weights, j), how = spec.said[variant()][frame], Z = total();
    const e = Z < 1e38 ? `e^${fixed(S)} / Σ = ${gf.number(Math.exp(S))} / ${gf.number(Z)} = ${gf.number(A)}`
      : `e^${fixed(S)} / Σ e^S = ${gf.number(A)}`;
    return [how ? `S = q·k ${how} = ${fixed(raw(j))} ${how} = ${fixed(S)}` : `S = q·k = ${fixed(S)}`, `a = ${e}`];
  }

  function fillTable() {
    table.replaceChildren();
    cells = [];
    const head = document.createElement("tr"), body = document.createElement("tbody"), thead = document.createElement("thead");
    head.append(document.createElement("td"), ...spec.columns.map((title, v) => {
      const th = document.createElement("th");
      th.scope = "col";
      th.textContent = title;
      if (v === variant()) th.className = "strong";
      return th;
    }));
    thead.append(head);
    for (const fact of spec.facts) {
      const tr = document.createElement("tr"), th = document.createElement("th");
      th.scope = "row";
      th.textContent = fact.name;
      tr.append(th, ...spec.columns.map((_, v) => {
        const td = document.createElement("td");
        if (v === variant()) td.className = "strong";
        cells.push([td, fact, v]);
        return td;
      }));
      body.append(tr);
    }
    table.append(thead, body);
  }

  function read() {
    for (const [td, fact, v] of cells) {
      const value = spec.arrays[fact.values][v * count() + frame];
      td.textContent = fact.percent ? `${(100 * value).toFixed(value < 0.0995 ? 1 : 0)} %` : gf.number(value);
    }
    const top = hover ?? best(), [score, weight] = arithmetic(top), size = `${spec.symbol} = ${spec.sizes.values[frame]}`;
    const who = `${spec.rows.label} ${spec.rows.values[row]}, ${keyName(top)}`;
    sum.textContent = `${size}. ${who}: ${score}; ${weight}`;
    view.canvas.setAttribute("aria-valuenow", frame);
    view.canvas.setAttribute("aria-valuetext", sum.textContent);
    view.redraw();
  }

  function best() {
    let found = 0;
    for (let j = 1; j < real(); j++) if (at(spec.arrays.weights, j) > at(spec.arrays.weights, found)) found = j;
    return found;
  }

  function place(event) {
    const rect = view.canvas.getBoundingClientRect(), l = layout(rect.width);
    const x = event.clientX - rect.left, y = event.clientY - rect.top, j = Math.floor((y - l.list.y) / ROW);
    const key = x >= l.list.x && j >= 0 && j < real() ? j : null;
    const last = l.boxes[l.boxes.length - 1], box = l.boxes[0];
    const curve = x >= box.x - 12 && x <= box.x + box.w + 12 && y >= box.y - 8 && y <= last.y + last.h + 28;
    return { x, y, key, curve, box };
  }

  function move(to) {
    if (to === frame || to < 0 || to >= count()) return;
    frame = to;
    sizes.set(spec.sizes.values.map(String), frame);
    read();
    tell();
  }
  function drag({ box, x }) {
    const target = xOf(box).invert(x);
    let near = 0;
    spec.arrays.at.forEach((v, i) => { if (Math.abs(v - target) < Math.abs(spec.arrays.at[near] - target)) near = i; });
    move(near);
  }

  view.canvas.addEventListener("pointerdown", (event) => {
    const found = spec && place(event);
    if (!found || !found.curve) return;
    dragging = true;
    view.canvas.setPointerCapture(event.pointerId);
    drag(found);
  });
  view.canvas.addEventListener("pointermove", (event) => {
    if (!spec) return;
    const found = place(event);
    if (dragging) { drag(found); return; }
    view.canvas.style.cursor = found.curve ? "ew-resize" : "default";
    const before = hover;
    hover = found.curve ? null : found.key;
    if (hover === null) tip.hide();
    else tip.show(found.x, found.y, [{ text: keyName(hover), strong: true }, ...arithmetic(hover)]);
    if (before !== hover) read();
  });
  const drop = () => { dragging = false; };
  view.canvas.addEventListener("pointerup", drop);
  view.canvas.addEventListener("pointercancel", drop);
  view.canvas.addEventListener("pointerleave", () => { hover = null; tip.hide(); if (spec) read(); });
  const another = (by) => () => {
    const to = Math.max(0, Math.min(rowCount() - 1, row + by));
    if (to === row) return;
    row = to;
    rows.set(spec.rows.values.map(String), row);
    read();
    tell();
  };
  gf.keys(view.canvas, { ArrowLeft: () => move(frame - 1), ArrowRight: () => move(frame + 1), Home: () => move(0),
    End: () => move(count() - 1), ArrowUp: another(-1), ArrowDown: another(1) });

  return {
    update(component) {
      send = component;
      const before = spec;
      spec = gf.unpack(component.data);
      c = gf.colours(root);
      const kept = before && before.epoch === spec.epoch && before.symbol === spec.symbol;
      if (!kept) clearTimeout(waiting);
      const index = (choice, was) => choice.values.indexOf(kept && choice.values.includes(was) ? was : choice.at);
      frame = index(spec.sizes, before && before.sizes.values[frame]);
      row = index(spec.rows, before && before.rows.values[row]);
      on = spec.switch ? (kept ? on : spec.switch.on) : false;
      hover = null;
      tip.hide();
      for (const [slider, choice, now] of [[sizes, spec.sizes, frame], [rows, spec.rows, row]]) {
        slider.element.firstChild.textContent = choice.label;
        slider.set(choice.values.map(String), now);
      }
      toggle.hidden = !spec.switch;
      called.textContent = spec.switch ? spec.switch.label : "";
      check.checked = on;
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
