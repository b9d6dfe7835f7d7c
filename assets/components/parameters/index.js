/* The weights of a model as areas. The first row chooses the model and the view; below, a slider varies one size, or
   switches tie and share, each among frames that the server counted. Hover (or arrow keys) reads a weight's shape; a click
   pins it; the list at the side lights a part. Data: charts/parameters.py says what the header holds. Reports: stand, with
   model, view, vary, value and switches where the learner left them, and the epoch of the message they answer to. */
export default (component) => gf.mount(component, (root, first) => {
  let spec = null, c = null, send = first, waiting = 0, model = 0, view = "", vary = -1, value = 0, on = [], hover = null,
    pinned = null, part = null, rows = [], epoch = null;
  const bar = document.createElement("div"), head = document.createElement("div"), stage = document.createElement("div");
  const whose = select("Whose weights", () => { model = whose.box.selectedIndex; settle(true); tell(); });
  const sizes = select("Vary", () => { vary = sizes.box.selectedIndex - 1; value = vary < 0 ? 0 : varied()[vary].own; settle(); tell(); });
  const slider = plot.scrubber("to", (i) => { value = i; draw(); tell(); });
  const views = plot.buttons((name) => { view = name; pinned = hover = null; draw(); tell(); });
  const toggles = document.createElement("div");
  bar.className = "bar"; head.className = "head"; stage.className = "stage"; toggles.className = "bar";
  bar.append(whose.element, views.element);
  bar.append(sizes.element, slider.element);
  const left = document.createElement("div"), list = document.createElement("ul");
  left.className = "left"; list.className = "list";
  stage.append(left, list);
  root.append(bar, toggles, head, stage);
  const canvas = gf.canvas(left, { label: "", draw: (ctx, w, h) => spec && paint(plot.onCanvas(ctx), w, h) });
  const foot = document.createElement("div");
  foot.className = "under";
  const { sum, tools } = plot.foot(canvas, () => spec.name, () => plot.saveSvg(`${spec.name}.svg`, canvas.size(), c.background,
    (p, w, h) => paint(p, w, h)));
  foot.append(sum, tools);
  root.append(foot);

  function select(label, change) {
    const element = document.createElement("label"), box = document.createElement("select");
    element.className = "select";
    element.append(label, box);
    box.addEventListener("change", change);
    return { element, box };
  }

  const one = () => spec.models[model];
  const varied = () => one().varied;
  const bits = () => on.reduce((sum, is, i) => sum + (is && one().able[i] ? 2 ** i : 0), 0);
  const frame = () => (vary < 0 || !varied()[vary] ? one().frames[bits()] : varied()[vary].frames[value]);
  const wide = () => canvas.size().width >= 560;
  const box = (w, h) => ({ x0: 2, x1: w - 2, y0: 4, y1: h - (view === spec.views[1] ? 4 : 32) });
  const ruled = () => spec.views.length > 1 && view === spec.views[1];

  function tell() {
    clearTimeout(waiting);
    waiting = setTimeout(() => send.setStateValue("stand", { epoch: spec.epoch, model: one().name, view, switches: on,
      vary: vary < 0 ? "" : varied()[vary].label, value: vary < 0 ? "" : varied()[vary].values[value] }), 400);
  }

  function settle(other = false) {   // what the controls make of the chosen model
    if (other) {
      vary = -1;
      on = spec.switches.map((_, i) => one().at[i]);
      pinned = hover = part = null;
    }
    whose.box.selectedIndex = model;
    sizes.box.replaceChildren(new Option("nothing: as it is", ""), ...varied().map(({ label }) => new Option(label, label)));
    sizes.box.selectedIndex = vary + 1;
    sizes.element.hidden = !spec.models.some(({ varied: v }) => v.length);
    sizes.box.disabled = !varied().length;
    slider.element.hidden = vary < 0;
    if (vary >= 0) slider.set(varied()[vary].values, value);
    toggles.replaceChildren(...spec.switches.map(({ label }, i) => {
      const element = document.createElement("label"), check = document.createElement("input");
      element.className = "switch";
      check.type = "checkbox";
      check.setAttribute("role", "switch");
      check.checked = on[i] && one().able[i];
      check.disabled = !one().able[i];
      check.addEventListener("change", () => { on[i] = check.checked; draw(); tell(); });
      element.append(check, one().able[i] ? label : `${label} (not in this model)`);
      return element;
    }));
    draw();
  }

  function draw() { fill(); read(); canvas.redraw(); }

  function fill() {   // the number, and the list of parts
    const { total, notes, sections } = frame(), number = document.createElement("span"), counts = new Map();
    number.className = "n";
    number.textContent = parameters.grouped(total);
    head.replaceChildren(number, text("span", "of", "parameters"), ...notes.map((note) => text("span", "note", note)));
    for (const { blocks } of sections) for (const { part: of, total: t, stored } of blocks) counts.set(of, (counts.get(of) ?? 0) + (stored ? t : 0));
    list.replaceChildren(...spec.parts.filter(({ key }) => counts.has(key)).reverse().map(({ key, label, role }) => {
      const row = document.createElement("li"), mark = document.createElement("i");
      mark.style.background = `color-mix(in srgb, var(--gf-${role}) 55%, var(--gf-background))`;
      mark.style.borderColor = `var(--gf-${role})`;
      row.append(mark, text("span", "", label), text("b", "", parameters.percent(counts.get(key) / total)),
        text("span", "count", parameters.si(counts.get(key))));
      row.addEventListener("pointerenter", () => { part = key; canvas.redraw(); });
      row.addEventListener("pointerleave", () => { part = null; canvas.redraw(); });
      return row;
    }));
  }

  function text(tag, name, content) {
    const element = document.createElement(tag);
    if (name) element.className = name;
    element.textContent = content;
    return element;
  }

  function paint(p, w, h) {
    if (ruled()) rows = parameters.rule(p, c, frame(), box(w, h), seen(), wide());
    else parameters.whole(p, c, frame(), box(w, h), part ? { part } : seen(), wide());
  }

  const seen = () => hover ?? pinned;

  // ---- what is read out ----

  const flat = () => frame().sections.flatMap((section) => section.blocks.map((block) => ({ section, block })));

  function read() {
    const at = seen(), { total } = frame();
    if (ruled()) {
      const term = frame().terms.find(({ key }) => key === at?.term), off = frame().terms[0].value / total - 1;
      sum.textContent = term ? `${term.label}: ${parameters.grouped(term.value)}, ${parameters.percent(term.value / total)} of the exact number`
        : `12 · layers · d² = ${parameters.grouped(frame().terms[0].value)}: ${parameters.percent(Math.abs(off))} ${off < 0 ? "too few" : "too many"}`;
    } else {
      const found = flat().find(({ section, block }) => section.key === at?.section && block.name === at?.block);
      sum.textContent = arithmetic(found ?? largest());
    }
    canvas.canvas.setAttribute("aria-label", `${spec.label}: ${one().name}. ${sum.textContent}`);
  }

  function largest() {
    const stored = flat().filter(({ block }) => block.stored);
    return stored.reduce((most, each) => (each.block.total > most.block.total ? each : most));
  }

  function arithmetic({ section, block }) {
    const shape = block.shape.map(parameters.grouped).join(" × "), each = block.shape.reduce((a, b) => a * b, 1);
    const named = block.axes ? `[${block.axes}] = ` : "", often = block.times > 1 ? ` · ${block.times}` : "";
    if (!block.stored) return `${block.symbol}: ${named}[${shape}] = ${parameters.grouped(each)}, read from a table that is there already: 0 more`;
    const times = block.times > 1 ? `${often} = ${parameters.grouped(block.total)}` : "";
    return `${block.symbol}: ${named}[${shape}] = ${parameters.grouped(each)}${times}: `
      + `${parameters.percent(block.total / frame().total)} of all`
      + (section.once && section.columns > 1 ? `, used ${section.columns} times` : "");
  }

  // ---- pointer and keys ----

  function under(event) {
    const { left: x, top: y } = canvas.canvas.getBoundingClientRect(), px = event.clientX - x, py = event.clientY - y;
    const { width, height } = canvas.size();
    if (ruled()) {
      const row = rows.find((r) => py >= r.y && py < r.y + r.h);
      return row ? { term: row.term.key } : null;
    }
    for (const column of parameters.layout(frame(), box(width, height))) {
      for (const b of column.blocks) {
        if (px >= b.x && px <= b.x + b.w && py >= b.y && py <= b.y + b.h) return { section: column.section.key, block: b.block.name };
      }
    }
    return null;
  }

  const same = (a, b) => JSON.stringify(a) === JSON.stringify(b);
  const look = (at) => { if (!same(at, hover)) { hover = at; read(); canvas.redraw(); } };
  canvas.canvas.addEventListener("pointermove", (event) => spec && look(under(event)));
  canvas.canvas.addEventListener("pointerleave", () => spec && look(null));
  canvas.canvas.addEventListener("click", (event) => { const at = under(event); pinned = same(at, pinned) ? null : at; read(); canvas.redraw(); });

  function walk(by, bySection) {
    if (ruled()) {
      const keys = frame().terms.map(({ key }) => key), at = keys.indexOf(pinned?.term);
      pinned = { term: keys[Math.max(0, Math.min(keys.length - 1, at + (by || bySection)))] };
    } else {
      const all = flat(), { sections } = frame(), first = largest();   // it is what was read out
      const from = pinned ?? { section: first.section.key, block: first.block.name };
      let next = by + all.findIndex(({ section, block }) => section.key === from.section && block.name === from.block);
      if (bySection) {
        const here = sections.findIndex(({ key }) => key === from.section);
        const there = sections[Math.max(0, Math.min(sections.length - 1, here + bySection))];
        next = all.findIndex(({ section }) => section === there);
      }
      const { section, block } = all[Math.max(0, Math.min(all.length - 1, next))];
      pinned = { section: section.key, block: block.name };
    }
    hover = null;
    read();
    canvas.redraw();
  }
  gf.keys(canvas.canvas, { ArrowUp: () => walk(ruled() ? -1 : 1, 0), ArrowDown: () => walk(ruled() ? 1 : -1, 0),
    ArrowLeft: () => walk(0, -1), ArrowRight: () => walk(0, 1), Escape: () => { pinned = null; read(); canvas.redraw(); } });

  return {
    update(next) {
      send = next;
      const data = gf.unpack(next.data), before = spec && { name: one().name, label: vary < 0 ? "" : varied()[vary].label };
      c = gf.colours(root);
      spec = data;
      if (data.epoch !== epoch) take(data);
      else {   // new numbers, the learner's view
        model = Math.max(0, data.models.findIndex(({ name }) => name === before.name));
        vary = varied().findIndex(({ label }) => label === before.label);
        if (vary >= 0) value = Math.min(value, varied()[vary].values.length - 1);
      }
      whose.box.replaceChildren(...data.models.map(({ name }) => new Option(name, name)));
      views.element.hidden = data.views.length < 2;
      if (data.views.length > 1) views.set("", data.views, view);
      settle();
    },
    destroy() { clearTimeout(waiting); canvas.destroy(); },
  };

  function take(data) {
    epoch = data.epoch;
    model = data.models.findIndex(({ name }) => name === data.model);
    view = data.view;
    on = data.switches.map((s) => s.on);
    vary = varied().findIndex(({ label }) => label === data.vary);
    value = vary < 0 ? 0 : Math.max(0, varied()[vary].values.indexOf(data.value));
    pinned = hover = part = null;
  }
});
