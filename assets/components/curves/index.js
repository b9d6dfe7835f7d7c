/* Curves over one shared x, in panels one above the other, with one cursor through all of them.

   Hover moves the cursor, a drag or a click leaves it there, arrows step it (Shift: ten steps, Home, End). What each
   curve is at the cursor stands in the table underneath; nothing is interpolated, the cursor sits on points that the
   server computed. With frames (a layer, a factor) a slider above switches between sets of curves at once, or several
   sliders do, each along an axis of its own; with zooms one sets how far x goes; a switch shows and hides what is only
   there with it; what is picked stands out.
   Data: charts/curves.py says what the header holds. Reports: stand, with cursor (x), frame (of the first slider), frames
   (of all), zoom, switch and pick where the learner left them, and the epoch of the message they answer to. */
export default (component) => gf.mount(component, (root, first) => {
  let spec = null, c = null, at = 0, pinned = 0, frame = [], far = 0, on = false, pick = "", dragging = false, send = first;
  let waiting = 0;
  const frames = [];   // a slider for each choice
  const zoom = plot.scrubber("", (i) => {
    far = spec.zooms.values[i];
    at = pinned = within(pinned);
    read();
    tell();
  });
  const picks = plot.buttons((name) => { pick = name; fillTable(); read(); tell(); });
  const toggle = document.createElement("label"), check = document.createElement("input");
  const called = document.createElement("span"), bar = document.createElement("div");
  toggle.className = "switch";
  check.type = "checkbox";
  check.setAttribute("role", "switch");
  check.addEventListener("change", () => { on = check.checked; grow(); read(); tell(); });
  toggle.append(check, called);
  bar.className = "bar";
  bar.append(picks.element, zoom.element, toggle);
  root.append(bar);
  const view = gf.canvas(root, { label: "", draw: (ctx, w, h) => spec && draw(plot.onCanvas(ctx), w, h) });
  view.canvas.setAttribute("role", "slider");
  const under = document.createElement("div");
  under.className = "under";
  const table = document.createElement("table");
  const { sum, tools } = plot.foot(view, () => spec.name,
    () => plot.saveSvg(`${spec.name}.svg`, view.size(), c.background, draw));
  under.append(sum, table, tools);
  root.append(under);
  let cells = [];

  const X = () => spec.arrays.x;
  const choices = () => [].concat(spec.frames ?? []);
  const lo = () => (spec.zooms ? Math.max(spec.x.lo, -far) : spec.x.lo);
  const hi = () => (spec.zooms ? far : spec.x.hi);
  const start = () => (spec.zooms ? nearest(lo()) : 0);
  const last = () => (spec.zooms ? nearest(far) : X().length - 1);
  const across = (box) => plot.scale(lo(), hi(), box.x, box.x + box.w, spec.x.log);
  const within = (i) => Math.max(start(), Math.min(last(), i));
  const picked = (part) => part.pick !== undefined && part.pick === pick;
  const there = (part) => (part.replaced ? !on : on || !part.switched || picked(part));

  function text(words) {   // one for all frames, or nested: one for each, innermost one for each zoom
    const where = spec.zooms ? [...frame, spec.zooms.values.indexOf(far)] : frame;
    for (const i of where) words = Array.isArray(words) ? words[words.length === 1 ? 0 : i] : words;
    return words;
  }
  const panels = () => spec.panels.filter(there);
  const look = (part) => (!picked(part) || part.plain ? part
    : { ...part, role: spec.picks.role, width: 4, dash: null, dot: true, quiet: false });

  function values(name) {   // of these frames: an array may have an axis for each choice, of length 1 where it is the same
    const a = spec.arrays[name], lead = a.shape.slice(0, -1), length = a.shape[lead.length];
    const row = lead.reduce((found, size, i) => found * size + (size === 1 ? 0 : frame[i]), 0);
    return lead.length ? a.subarray(row * length, (row + 1) * length) : a;
  }

  function here(name) {   // at the cursor; an array of one number is the same everywhere
    const a = values(name);
    return a.length === 1 ? a[0] : a[at];
  }

  function tell() {
    clearTimeout(waiting);
    const chosen = choices().map((choice, i) => choice.values[frame[i]]);
    waiting = setTimeout(() => send.setStateValue("stand", { epoch: spec.epoch, cursor: X()[pinned], zoom: far, switch: on,
      pick, frame: chosen[0] ?? null, frames: chosen }), 250);
  }
  const narrow = (w) => w < 560;

  function layout(w, h) {
    const left = narrow(w) ? 52 : 58, right = narrow(w) ? 14 : spec.gutter, bottom = 50, gap = 40, top = 26;
    const room = h - top - bottom - gap * (panels().length - 1);
    const whole = panels().reduce((a, panel) => a + panel.share, 0);
    let y = top;
    return panels().map((panel) => {
      const box = { x: left, y, w: w - left - right, h: room * panel.share / whole };
      y += box.h + gap;
      return box;
    });
  }

  function colour(series) {
    return series.shade === undefined ? c[series.role] : gf.mix(c.background, c[series.role], series.shade);
  }

  function draw(p, w, h) {
    const boxes = layout(w, h);
    panels().forEach((panel, i) => {
      const box = boxes[i], found = panel.series.filter(there);
      const series = [...found.filter((one) => !picked(one)), ...found.filter(picked)].map(look);   // the picked one on top
      const x = across(box);
      const y = plot.scale(text(panel.y.lo), text(panel.y.hi), box.y + box.h, box.y, panel.y.log);
      plot.frame(p, c, box, x, y, { logX: spec.x.log, logY: panel.y.log, last: i === boxes.length - 1, xLabel: spec.x.label,
        countX: narrow(w) ? 4 : 8, countY: box.h < 110 && !panel.y.log ? 2 : 4, percentY: panel.y.percent, edge: w });
      p.text(narrow(w) ? 4 : box.x, box.y - 11, text(narrow(w) ? panel.short : panel.title),
        { fill: c.ink, family: plot.SANS, size: 15, weight: 600 });
      if (text(panel.note) && !narrow(w)) {
        p.text(box.x + box.w, box.y - 11, text(panel.note),
          { fill: c.muted, family: plot.SANS, size: 14, anchor: "end" });
      }
      for (const mark of panel.marks) {
        p.line([[x(mark.x), box.y], [x(mark.x), box.y + box.h]], { stroke: c[mark.role], dash: [2, 4] });
        p.text(x(mark.x) + (mark.left ? -6 : 6), box.y + 14, text(mark.text),
          { fill: c[mark.role], family: plot.SANS, anchor: mark.left ? "end" : "start" });
      }
      const cursor = x(X()[at]);
      for (const one of series) paint(p, one, x, y, box, cursor);
      p.line([[cursor, box.y], [cursor, box.y + box.h]], { stroke: c.ink, opacity: 0.55 });
      for (const one of series) {
        if (one.kind !== "line" || !one.dot) continue;
        const v = here(one.y);
        if (v >= y.lo && v <= y.hi) {
          p.circle(cursor, y(v), 5, { fill: colour(one), stroke: c.background, lineWidth: 2 });
        }
      }
      if (!narrow(w)) labels(p, series, y, box);
    });
    const cursor = across(boxes[0])(X()[at]);
    const foot = boxes[boxes.length - 1];
    handle(p, cursor, foot.y + foot.h, w);
  }

  function handle(p, x, y, room) {   // where to take hold of the cursor, and where it stands
    const text = `${spec.x.symbol} = ${shown(X()[at])}`, w = 9 * text.length + 12;
    const middle = Math.min(room - w / 2 - 1, Math.max(w / 2 + 1, x));
    p.rect(middle - w / 2, y + 3, w, 22, { fill: c.ink, radius: 6 });
    p.text(middle, y + 18.5, text, { fill: c.background, anchor: "middle", size: 14 });
  }

  function paint(p, series, x, y, box, cursor) {
    const stroke = colour(series), end = last();
    if (series.kind === "bars") {
      const edges = values(series.edges), heights = values(series.y);
      for (let i = 0; i < heights.length; i++) {
        if (!heights[i] || edges[i + 1] <= x.lo || edges[i] >= x.hi) continue;
        const from = x(Math.max(x.lo, edges[i])), to = x(Math.min(x.hi, edges[i + 1])), gap = to - from > 3 ? 0.25 : 0;
        const top = y(Math.min(y.hi, Math.max(heights[i], y.lo)));
        const lit = series.lit && cursor >= from && cursor < to;
        p.rect(from + gap, top, Math.max(0.5, to - from - 2 * gap), box.y + box.h - top, { fill: lit ? c.ink : stroke,
          opacity: lit ? 1 : 0.8 });
      }
    } else if (series.kind === "band") {
      const low = values(series.lo), high = values(series.hi), points = [];
      const inside = (v) => y(Math.max(y.lo, Math.min(y.hi, v)));   // what lies outside ends at the frame
      for (let i = start(); i <= end; i++) if (Number.isFinite(high[i])) points.push([x(X()[i]), inside(high[i])]);
      for (let i = end; i >= start(); i--) if (Number.isFinite(low[i])) points.push([x(X()[i]), inside(low[i])]);
      p.area(points, { fill: stroke, opacity: series.opacity });
    } else {
      const line = values(series.y), points = [];
      for (let i = start(); i <= end; i++) {
        const inside = line[i] >= y.lo && line[i] <= y.hi;
        points.push([x(X()[i]), inside ? y(line[i]) : NaN]);
      }
      p.line(points, { stroke, lineWidth: series.width, dash: series.dash, opacity: series.opacity });
      if (series.points && (!series.pick || picked(series))) for (const [px, py] of points) if (Number.isFinite(py)) p.circle(px, py, 3, { fill: stroke });
    }
  }

  function labels(p, series, y, box) {   // at the right end of each curve, pushed apart where they would meet
    const found = series.filter((s) => s.kind === "line" && s.label).map((s) => {
      const line = values(s.y);
      let i = last();
      while (i > 0 && !(line[i] >= y.lo && line[i] <= y.hi)) i--;
      return { text: s.label, fill: s.quiet ? c.muted : colour(s), y: y(line[i]) + 5 };
    }).filter((one) => Number.isFinite(one.y)).sort((a, b) => a.y - b.y);   // a curve may have nothing here
    for (let i = 1; i < found.length; i++) found[i].y = Math.max(found[i].y, found[i - 1].y + 17);
    const over = found.length ? Math.max(0, found[found.length - 1].y - box.y - box.h) : 0;
    for (let i = found.length - 1; i >= 0; i--) {
      const most = i === found.length - 1 ? found[i].y - over : found[i + 1].y - 17;
      found[i].y = Math.min(found[i].y, most);
    }
    for (const { text: name, fill, y: ly } of found) {
      p.text(box.x + box.w + 8, ly, name, { fill, family: plot.SANS, size: 14, weight: 600 });
    }
  }

  function figure(name, percent) {
    const value = here(name);
    if (Number.isNaN(value)) return "–";   // nothing there, such as a surprise after the last token
    if (spec.whole.includes(name)) return signed(value.toLocaleString("en-US"));
    if (percent) return signed(`${(100 * value).toFixed(1)}%`);
    if (value !== 0 && (Math.abs(value) < 5e-4 || Math.abs(value) >= 1e10)) return gf.number(value);
    if (Math.abs(value) >= 1000) return signed(Math.round(value).toLocaleString("en-US"));
    return signed(value.toFixed(Math.min(spec.digits, Math.abs(value) < 100 ? 3 : 1)));
  }

  const plain = (v) => String(Number(v.toFixed(4)));   // no exponent, which a screen reader's number may not have
  const signed = (text) => text.replace(/^-(?=0\.?0*%?$)/, "").replace("-", "−");   // no "−0.00"
  const shown = (v) => (spec.x.integer ? plot.tick(Math.round(v)) : signed(v.toFixed(2)));

  function fillTable() {
    table.replaceChildren();
    cells = [];
    if (!spec.table.rows.length) return;
    const head = document.createElement("tr");
    head.append(document.createElement("td"));
    for (const title of spec.table.columns) {
      const th = document.createElement("th");
      th.scope = "col";
      th.textContent = title;
      head.append(th);
    }
    const thead = document.createElement("thead"), body = document.createElement("tbody");
    thead.append(head);
    for (const row of spec.table.rows.map(look)) {
      const tr = document.createElement("tr"), th = document.createElement("th");
      const swatch = document.createElement("span");
      th.scope = "row";
      swatch.className = "swatch";
      const ink = colour(row), [on, off] = row.dash ?? [];  // dashed as its line is
      swatch.style.height = `${row.width}px`;
      swatch.style.background = !on ? ink
        : `repeating-linear-gradient(90deg, ${ink} 0 ${on}px, transparent ${on}px ${on + off}px)`;
      th.append(swatch, row.name);
      if (picked(row)) tr.className = "strong";
      tr.append(th, ...row.cells.map((name, i) => {
        const td = document.createElement("td");
        cells.push([td, name, spec.table.percent[i]]);
        return td;
      }));
      body.append(tr);
    }
    table.append(thead, body);
  }

  function read() {
    for (const [td, name, percent] of cells) td.textContent = figure(name, percent);
    sum.textContent = spec.sum.text.replace(/\{(\d+|x|pick)(%?)\}/g, (_, i, percent) => {
      const array = spec.sum.arrays[i];   // or one for each pick
      return i === "x" ? shown(X()[at]) : i === "pick" ? pick : figure(array[pick] ?? array, percent);
    });
    view.canvas.setAttribute("aria-valuemin", plain(lo()));
    view.canvas.setAttribute("aria-valuemax", plain(hi()));
    view.canvas.setAttribute("aria-valuenow", plain(X()[at]));
    view.canvas.setAttribute("aria-valuetext", sum.textContent || `${spec.x.symbol} = ${shown(X()[at])}`);
    view.redraw();
  }

  function grow() { view.canvas.style.height = `${spec.height + (on ? spec.switch.taller : 0)}px`; }

  function nearest(value) {
    const x = X(), f = plot.scale(x[0], x[x.length - 1], 0, x.length - 1, spec.x.log), goal = f(value);
    if (!spec.x.log) return Math.max(0, Math.min(x.length - 1, Math.round(goal)));   // evenly spaced
    return x.reduce((best, v, i) => (Math.abs(f(v) - goal) < Math.abs(f(x[best]) - goal) ? i : best), 0);
  }

  function under_pointer(event) {
    const rect = view.canvas.getBoundingClientRect(), box = layout(rect.width, rect.height)[0];
    return within(nearest(across(box).invert(event.clientX - rect.left)));
  }

  function pin(index) {
    at = pinned = index;
    read();
    tell();
  }

  view.canvas.addEventListener("pointermove", (event) => {
    if (!spec || (event.pointerType === "touch" && !dragging)) return;
    at = under_pointer(event);
    read();
  });
  view.canvas.addEventListener("pointerdown", (event) => {
    if (!spec) return;
    dragging = true;
    view.canvas.setPointerCapture(event.pointerId);
    at = under_pointer(event);
    read();
  });
  view.canvas.addEventListener("pointerup", (event) => {
    if (dragging) { dragging = false; pin(under_pointer(event)); }
  });
  view.canvas.addEventListener("pointercancel", () => { dragging = false; });
  view.canvas.addEventListener("pointerleave", () => {
    if (spec && !dragging) { at = pinned; read(); }
  });
  const step = (sign) => (event) => {
    const to = pinned + sign * spec.x.step * (event.shiftKey ? 10 : 1);
    pin(within(to));
  };
  gf.keys(view.canvas, { ArrowLeft: step(-1), ArrowRight: step(1), ArrowDown: step(-1), ArrowUp: step(1),
    Home: () => pin(start()), End: () => pin(last()) });

  return {
    update(component) {
      send = component;
      const before = spec, next = gf.unpack(component.data);
      if (next.only && String(next.only) !== String(frame)) return;   // sent ahead for other sliders: the server's comes
      spec = next;
      c = gf.colours(root);
      const kept = before && before.epoch === spec.epoch;   // cursor, frame, zoom and switch are the learner's
      if (!kept) clearTimeout(waiting);
      on = spec.switch ? (kept ? on : spec.switch.on) : false;
      pick = spec.picks ? (kept && spec.picks.values.includes(pick) ? pick : spec.picks.at) : "";
      if (spec.zooms && !(kept && spec.zooms.values.includes(far))) far = spec.zooms.at;
      const was = kept ? [].concat(before.frames ?? []).map((choice, i) => choice.values[frame[i]]) : [];
      frame = choices().map((choice, i) => choice.values.indexOf(choice.values.includes(was[i]) ? was[i] : choice.at));
      at = pinned = within(nearest(kept ? before.arrays.x[pinned] : spec.cursor));
      while (frames.length < frame.length) {
        const i = frames.length;
        frames.push(plot.scrubber("", (to) => { frame[i] = to; read(); tell(); }));
        bar.insertBefore(frames[i].element, zoom.element);
      }
      const sliders = frames.map((slider, i) => [slider, choices()[i], frame[i]]);
      for (const [slider, list, now] of [...sliders, [zoom, spec.zooms, spec.zooms && spec.zooms.values.indexOf(far)]]) {
        slider.element.hidden = !list;
        if (!list) continue;
        slider.element.firstChild.textContent = list.label;
        slider.set(list.values.map((v) => (typeof v === "number" ? plot.tick(v) : v)), now);
      }
      picks.element.hidden = !spec.picks;
      if (spec.picks) picks.set(spec.picks.label, spec.picks.values, pick);
      toggle.hidden = !spec.switch;
      check.checked = on;
      called.textContent = spec.switch ? spec.switch.label : "";
      bar.hidden = !(spec.frames || spec.zooms || spec.switch || spec.picks);
      grow();
      view.canvas.setAttribute("aria-label", spec.label);
      fillTable();
      read();
    },
    destroy() { clearTimeout(waiting); view.destroy(); },
  };
});
