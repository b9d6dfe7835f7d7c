/* Matrices side by side: numbers where they can be read, pixels where not.

   Hover a cell for its arithmetic: the row and the column of the matrices that made it light up, and the sum is written
   out under the picture. A click or the arrows leave it there (Page Up and Page Down: another matrix). With steps the
   matrices appear in the order of computation: play, step, reset; Space plays and pauses, "." and "," step, Home and
   Escape reset. A slider chooses among frames, buttons and a switch among matrices that are only there with them.
   Data: charts/matrices.py says what the header holds. Reports: stand, with frame, pick, step, switch and the pinned cell
   where the learner left them, and the epoch of the message they answer to. */
export default (component) => gf.mount(component, (root, first) => {
  const STEP = 1800, FRAME = 900, REVEAL = 900;
  let spec = null, frame = 0, pick = "", on = false, step = 0, pinned = null, hover = null, send = first;
  let waiting = 0, matrices = [], maps = new Map(), writing = new Map();
  let inks = new Map();
  let reveal = { share: 1, keys: [], run: null };

  const make = (tag, name) => Object.assign(document.createElement(tag), { className: name });
  const frames = plot.scrubber("", (i) => { film.stop(); frame = i; read(); tell(); });
  const picks = plot.buttons((name) => { pick = name; read(); tell(); });
  const toggle = make("label", "switch"), check = document.createElement("input"), called = document.createElement("span");
  const bar = make("div", "bar"), said = make("p", "said"), under = make("div", "under");
  check.type = "checkbox";
  check.setAttribute("role", "switch");
  check.addEventListener("change", () => { on = check.checked; read(); tell(); });
  toggle.append(check, called);
  const film = player.make({ now: () => now(), last: () => last(), go: (to) => go(to), clear: () => { pinned = hover = null; },
    beat: () => (byStep() ? STEP : FRAME), what: "Play the computation step by step" });
  bar.append(picks.element, frames.element, toggle);
  said.setAttribute("aria-live", "polite");
  const head = make("div", "head");
  head.append(film.element, said);
  root.append(bar, head);
  const view = gf.canvas(root, { label: "", draw: (ctx, w, h) => draw(ctx, w, h) });
  const { sum, tools } = plot.foot(view, () => spec.name, saveSvg);
  under.append(sum, tools);
  root.append(under);

  const there = (m) => (m.pick === null || m.pick === pick) && (m.switched === null || m.switched === on);
  const array = (name, rank) => {   // of this frame: an array may have one for each
    const a = spec.arrays[name], size = a.shape[rank] * a.shape[rank + 1];
    return { a, from: rank ? frame * size : 0, cols: a.shape[rank + 1] };
  };
  const look = (name, row, col) => {
    const { a, from, cols } = array(name, spec.arrays[name].shape.length - 2);
    return a[from + row * cols + col];
  };

  const app = {
    c: null,
    grid: () => spec.grid.map((row) => row.filter(there)).filter((row) => row.length),
    height: () => spec.height + (on && spec.switch ? spec.switch.taller : 0),
    words: (words) => (Array.isArray(words) ? words[frame] : words),
    known: (key) => matrices.find((m) => m.key === key),
    name: (m, axis, i) => plan.clip(m[axis][i]),
    value: (m, row, col) => look(m.key, row, col),
    barred: (m, row, col) => m.barred && look(`${m.key} barred`, row, col) === 1,
    chars: (m) => (m.cols.length > 24 || m.rows.length > 24 ? 0 : format(m).chars),
    written: (m, value) => numeral(value, format(m).digits),
    map: (m) => maps.get(m.signed ? "signed" : m.role) ?? keepMap(m),
    share: (m, value) => Math.max(0, Math.min(1, m.signed ? (value / m.top + 1) / 2 : value / m.top)),
    fill: (m, value) => app.map(m)(app.share(m, value)),
    tone: (role) => app.c[role === "scores" ? "attention" : role],
    readable, state, focus: () => [hover, pinned].find(inView) ?? null,
    revealed: (key) => (reveal.keys.includes(key) ? reveal.share : 1),
  };

  const inView = (cell) => cell && there(cell.m) && state(cell.m.key) !== "later";

  function keepMap(m) {
    const map = m.signed ? gf.diverging(root) : gf.sequential(root, m.role);
    maps.set(m.signed ? "signed" : m.role, map);
    return map;
  }

  function format(m) {   // one way of writing for all cells and frames of a matrix
    if (!writing.has(m.key)) {
      const seen = Array.from(spec.arrays[m.key]).filter(Number.isFinite);
      const most = seen.reduce((a, v) => Math.max(a, Math.abs(v)), 0);
      const digits = seen.every(Number.isInteger) ? 0 : most >= 100 ? 0 : most >= 10 ? 1 : 2;
      writing.set(m.key, { digits, chars: seen.reduce((a, v) => Math.max(a, numeral(v, digits).length), 1) });
    }
    return writing.get(m.key);
  }

  // "0" is exactly that, "0.00" only small.
  const numeral = (value, digits) => (value === 0 ? "0" : Number.isFinite(value)
    ? value.toFixed(digits).replace(/^-(?=0(\.0*)?$)/, "").replace("-", "−") : value < 0 ? "−∞" : "∞");

  function readable(fill) {
    if (!inks.has(fill)) inks.set(fill, plot.readable(app.c, fill));
    return inks.get(fill);
  }

  function state(key) {
    if (!spec.steps.length || spec.steps[step].shows.includes(key)) return "lit";
    const comes = spec.steps.findIndex((one) => one.shows.includes(key));
    return comes > step ? "later" : "dim";
  }

  function draw(ctx, w, h) {
    if (!spec) return;
    const found = plan.of(app, w);
    if (Math.abs(h - found.height) > 0.5) {   // and it is drawn again
      view.canvas.style.height = `${found.height}px`;
      return;
    }
    brush.draw(surface.onCanvas(ctx), app, found);
  }

  const plays = () => spec.steps.length > 0 || spec.playsFrames;
  const byStep = () => spec.steps.length > 0;
  const last = () => (byStep() ? spec.steps.length : spec.frames.values.length) - 1;
  const now = () => (byStep() ? step : frame);

  function go(to) {
    to = Math.max(0, Math.min(last(), to));
    if (byStep() && to > step) {
      const before = new Map(matrices.map((m) => [m.key, state(m.key)]));
      step = to;
      show(matrices.filter((m) => before.get(m.key) === "later" && state(m.key) === "lit").map((m) => m.key));
    } else if (byStep()) step = to;
    else { frame = to; frames.set(spec.frames.values.map(String), frame); }
    read();
    tell();
  }

  function show(keys) {   // what is new comes row by row
    if (reveal.run) reveal.run.stop();
    reveal = { share: 1, keys, run: null };
    if (!keys.length || gf.reducedMotion()) return;
    reveal.share = 0;
    reveal.run = gf.animate(REVEAL, (_, t) => { reveal.share = t; view.redraw(); });
  }

  const take = (by) => { if (plays()) film.take(by); };
  function restart() {
    if (plays()) return film.restart();
    pinned = hover = null;
    read();
    tell();
  }

  function tell() {
    clearTimeout(waiting);
    const at = pinned ? [pinned.m.key, pinned.row, pinned.col] : null;
    waiting = setTimeout(() => send.setStateValue("stand", { epoch: spec.epoch, pick, step, switch: on, at,
      frame: spec.frames ? spec.frames.values[frame] : null }), 250);
  }

  function read() {
    const cell = app.focus(), found = cell && sums.of(app, cell), strong = document.createElement("b");
    strong.textContent = found ? found.title : "";
    if (found) sum.replaceChildren(strong, ...found.lines.map((line) => `\n${line}`));
    else sum.textContent = "Hover or tap a cell for its arithmetic; the arrow keys move it.";
    const current = spec.steps[step], words = current ? [] : [app.words(spec.sentence)];
    if (current) {
      const title = document.createElement("b");
      title.textContent = `${current.title}. `;
      words.push(title, current.sentence);
    }
    said.hidden = !current && !app.words(spec.sentence);
    const spoken = words.map((part) => part.textContent ?? part).join("");
    if (said.textContent !== spoken) said.replaceChildren(...words);
    if (plays()) film.read();
    view.redraw();
  }

  function at(event) {
    const rect = view.canvas.getBoundingClientRect();
    const cell = plan.at(plan.of(app, rect.width), event.clientX - rect.left, event.clientY - rect.top);
    return cell && state(cell.m.key) !== "later" ? cell : null;
  }

  view.canvas.addEventListener("pointermove", (event) => {
    if (!spec || event.pointerType === "touch") return;
    const cell = at(event);
    if (cell && hover && cell.m === hover.m && cell.row === hover.row && cell.col === hover.col) return;
    if (!cell && !hover) return;
    hover = cell;
    read();
  });
  view.canvas.addEventListener("pointerleave", () => { if (hover) { hover = null; read(); } });
  view.canvas.addEventListener("click", (event) => {
    const cell = spec && at(event);
    if (!cell) return;
    pinned = cell;
    read();
    tell();
  });

  function firstCell() {   // the first cell that is there
    for (const m of open()) for (let row = 0; row < m.rows.length; row++) for (let col = 0; col < m.cols.length; col++) {
      if (!Number.isNaN(app.value(m, row, col))) return { m, row, col };
    }
    return null;
  }

  const open = () => app.grid().flat().filter((m) => state(m.key) !== "later");
  function move(down, right) {
    hover = null;
    const from = app.focus();
    if (!from) pinned = firstCell();
    else {
      const inside = (i, n) => Math.max(0, Math.min(n - 1, i));
      pinned = { m: from.m, row: inside(from.row + down, from.m.rows.length), col: inside(from.col + right, from.m.cols.length) };
    }
    read();
    tell();
  }

  function hop(by) {
    const list = open(), from = app.focus();
    if (!list.length) return;
    hover = null;
    const m = list[(list.indexOf(from ? from.m : list[0]) + (from ? by : 0) + list.length) % list.length];
    pinned = { m, row: Math.min(from ? from.row : 0, m.rows.length - 1), col: Math.min(from ? from.col : 0, m.cols.length - 1) };
    read();
    tell();
  }

  gf.keys(view.canvas, { ArrowLeft: () => move(0, -1), ArrowRight: () => move(0, 1), ArrowUp: () => move(-1, 0),
    ArrowDown: () => move(1, 0), PageDown: () => hop(1), PageUp: () => hop(-1), Home: restart, Escape: restart,
    " ": () => { if (plays()) film.toggle(); }, ".": () => take(1), ",": () => take(-1) });

  function saveSvg() {
    const { width } = view.size(), found = plan.of(app, width), svg = gf.svg(width, found.height, app.c.background);
    brush.draw(surface.onSvg(svg), app, found);
    svg.save(`${spec.name}.svg`);
  }

  const cellOf = (place) => {
    const m = place && app.known(place[0]);
    return m && place[1] < m.rows.length && place[2] < m.cols.length ? { m, row: place[1], col: place[2] } : null;
  };

  return {
    update(component) {
      send = component;
      const before = spec, looked = before && before.frames ? before.frames.values[frame] : null;
      const held = pinned ? [pinned.m.key, pinned.row, pinned.col] : null;
      spec = gf.unpack(component.data);
      app.c = gf.colours(root);
      maps = new Map();
      writing = new Map();
      inks = new Map();
      matrices = spec.grid.flat();
      const kept = before && before.epoch === spec.epoch;   // then frame, pick, step, switch and cell are the learner's
      if (!kept) { clearTimeout(waiting); film.stop(); }
      on = spec.switch ? (kept ? on : spec.switch.on) : false;
      pick = spec.picks ? (kept && spec.picks.values.includes(pick) ? pick : spec.picks.at) : "";
      step = spec.steps.length ? Math.min(kept ? step : spec.step, spec.steps.length - 1) : 0;
      const index = kept && spec.frames ? spec.frames.values.indexOf(looked) : -1;
      frame = index >= 0 ? index : spec.frames ? spec.frames.values.indexOf(spec.frames.at) : 0;
      pinned = cellOf(kept ? held : spec.at);
      hover = null;
      frames.element.hidden = !spec.frames;
      if (spec.frames) {
        frames.element.firstChild.textContent = spec.frames.label;
        frames.set(spec.frames.values.map((v) => (typeof v === "number" ? plot.tick(v) : v)), frame);
      }
      picks.element.hidden = !spec.picks;
      if (spec.picks) picks.set(spec.picks.label, spec.picks.values, pick);
      toggle.hidden = !spec.switch;
      check.checked = on;
      called.textContent = spec.switch ? spec.switch.label : "";
      bar.hidden = !(spec.frames || spec.switch || spec.picks);
      film.element.hidden = !plays();
      said.classList.toggle("short", !spec.steps.length);
      view.canvas.setAttribute("aria-label", spec.label);
      read();
    },
    destroy() { clearTimeout(waiting); film.stop(); if (reveal.run) reveal.run.stop(); view.destroy(); },
  };
});
