/* Attention maps: every head in small, one head large, and what the token in hand reads.

   data: charts/attention_maps.overview (the text's), and charts/attention_maps.layer through attention_layer (the layer's).
   Everything the learner does is answered here; what they settled on is reported to the server, which keeps the URL. */
export default (component) => gf.mount(component, (root, first) => {
  const feed = globalThis.glassformerLayers ??= new EventTarget();
  const app = { data: null, view: null, hover: null, matrix: null, shade: null, cut: 0.1, tall: 600, narrow: false, fresh: true };
  let host = first, layers = new Map(), animation = null, reporting = 0, reported = 0;

  const make = (tag, className, text) => {
    const element = document.createElement(tag);
    element.className = className;
    if (text) element.textContent = text;
    return element;
  };
  root.classList.add("am");
  const chips = group("Heads by measured pattern"), stage = make("div", "am-stage");
  chips.classList.add("am-chips");
  const left = make("div", "am-left"), main = make("div", "am-main"), side = make("div", "am-side");
  const said = make("div", "gf-sr");
  said.setAttribute("role", "status");
  const top = make("div", "am-top"), stepper = make("div", "am-steppers"), label = make("span", "am-label");
  const strip = make("div", "am-strip"), sentence = make("p", "am-sentence");
  const toggles = make("div", "am-toggles"), foot = make("div", "am-foot");
  const segments = {
    scope: segment("scope", "What the map shows", [["head", "one head"], ["average", "layer average"], ["rollout", "rollout"]]),
    measure: segment("measure", "What a cell is", [["weights", "weights"], ["values", "weights × ‖value‖"]]),
    form: segment("form", "How it is drawn (M)", [["map", "map"], ["lines", "lines"]]),
  };
  const cut = make("label", "am-cut"), slider = document.createElement("input"), cutValue = make("span", "am-value");
  Object.assign(slider, { type: "range", min: 0, max: 0.5, step: 0.01, value: app.cut });
  cut.append("fade below ", slider, cutValue);
  slider.addEventListener("input", () => { app.cut = Number(slider.value); cutValue.textContent = gf.number(app.cut); picture.redraw(); });
  cutValue.textContent = gf.number(app.cut);
  toggles.append(segments.scope.root, segments.measure.root, segments.form.root);
  const steps = ["layer", "head"].map((name) => step(name));
  stepper.append(...steps.map((s) => s.root), label);
  top.append(stepper, toggles);
  const save = make("div", "am-save");
  save.append("save", gf.button("SVG", saveSvg), gf.button("PNG", () => gf.savePng(picture.canvas, `${fileName()}.png`)),
    gf.button("CSV", saveCsv));
  const legend = make("div", "am-legend"), aim = make("div", "am-aim");
  root.append(chips, top, sentence, stage, said);
  stage.append(left, main, side);
  const picture = gf.canvas(main, { label: "", draw });
  picture.wrap.classList.add("am-picture");
  const tip = gf.tooltip(root);   // over the whole width, so that it need not cover the map
  foot.append(legend, aim, cut, save);
  main.append(foot, strip);
  let place = null;

  Object.assign(app, {
    layer: () => layers.get(app.view.layer) ?? null,
    scoreOf: (pattern, l, h) => app.data.arrays.scores[(pattern * app.data.layers + l) * app.data.heads + h],
    role: () => (app.view.measure === "values" ? "value" : "attention"),
    aimed() {
      if (app.view.scope !== "head") return -1;
      const own = app.data.arrays.labels[app.view.layer * app.data.heads + app.view.head];
      const asked = app.data.patterns.findIndex((p) => p.id === app.view.pattern);
      const pattern = asked >= 0 ? asked : own;
      return pattern >= 0 && app.data.patterns[pattern].aims ? pattern : -1;
    },
    set, point,
  });
  const tiles = mosaic(app, left), panel = details(app, side);

  function group(name) {
    const element = make("div", "am-group");
    element.setAttribute("role", "group");
    element.setAttribute("aria-label", name);
    return element;
  }

  function segment(name, about, options) {
    const element = group(about), buttons = new Map();
    element.classList.add("am-segment");
    for (const [value, text] of options) {
      buttons.set(value, gf.button(text, () => set({ [name]: value }), { pressed: false }));
      element.append(buttons.get(value));
    }
    return { root: element, buttons };
  }

  function step(name) {
    const element = make("div", "am-step"), value = make("span", "am-step-value");
    const move = (by) => {
      const count = app.data[`${name}s`];
      set({ [name]: (app.view[name] + by + count) % count });
    };
    element.append(gf.button("‹", () => move(-1), { label: `previous ${name}` }), value,
      gf.button("›", () => move(1), { label: `next ${name}` }));
    return { root: element, name, value };
  }

  // ---- what changes -------------------------------------------------------------------------------------------------
  function set(changes) {
    const before = app.view;
    app.view = { ...before, ...changes };
    if (changes.pattern !== undefined && changes.pattern !== null) jump();
    if (app.view.scope === "rollout") app.view.measure = "weights";
    if (app.view.measure !== before.measure || app.view.scope !== before.scope) tiles.refresh();
    render();
    say();
    clearTimeout(reporting);   // a single step is told at once, a run of them when it ends
    reporting = setTimeout(report, performance.now() - reported > 400 ? 0 : 140);
  }

  function report() {
    reported = performance.now();
    host.setStateValue("view", state.report(app.view));
  }

  function jump() {   // a filter shows its strongest head, unless the one in view has that pattern
    const { data, view } = app, { labels } = data.arrays, wanted = data.patterns.findIndex((p) => p.id === view.pattern);
    if (labels[view.layer * data.heads + view.head] === wanted) return;
    let best = -1;
    for (let i = 0; i < labels.length; i++) {
      const better = best < 0 || strength(wanted, i) > strength(wanted, best);
      if (labels[i] === wanted && better) best = i;
    }
    if (best < 0) return;
    Object.assign(view, { layer: Math.floor(best / data.heads), head: best % data.heads, scope: "head" });
    aimAt(wanted, best);
  }

  function aimAt(pattern, index) {   // and its strongest cell of that kind, where the mosaic has every cell
    const { data } = app, n = data.n, { targets, mask, weights } = data.arrays;
    if (data.side !== n || !data.patterns[pattern].aims) return;
    let best = -1;
    for (let i = n; i < n * n; i++) {
      const better = best < 0 || weights[index * n * n + i] > weights[index * n * n + best];
      if (targets[i] >> pattern & 1 && mask[i] && better) best = i;
    }
    if (best >= 0) app.view.pin = { q: Math.floor(best / n), k: best % n };
  }
  const strength = (pattern, i) => app.data.arrays.scores[pattern * app.data.layers * app.data.heads + i];

  function point(next, quiet = false) {
    if (next?.q === app.hover?.q && next?.k === app.hover?.k) return;
    app.hover = next;
    picture.redraw();
    if (!app.view.pin && !quiet) panel.update();
  }

  function update(component) {
    host = component;
    const data = gf.unpack(component.data), changed = data.reading !== app.data?.reading;
    const c = gf.colours(root), probe = getComputedStyle(root);
    app.mono = probe.getPropertyValue("--gf-mono") || "monospace";
    if (changed) {
      app.data = data;
      app.shown = data.tokens.map(gf.chipText);
      app.view = state.read(data);
      app.hover = app.matrix = app.shade = null;
      layers = new Map();
      takeLayer();
      clearTimeout(reporting);
    }
    app.colours = { ...c, patterns: data.patterns.map((p) => resolve(`--am-${p.id}`)), none: resolve("--am-none") };
    app.fresh = true;
    if (changed) drawChips();
    chips.hidden = data.hide.includes("filters");
    toggles.hidden = data.hide.includes("views");
    side.hidden = data.hide.includes("details");
    tiles.refresh();
    render();
    app.fresh = false;
  }

  function resolve(name) {   // a custom property that follows the theme, as "rgb(r, g, b)"
    const probe = document.createElement("span");
    probe.style.color = `var(${name})`;
    root.append(probe);
    const colour = getComputedStyle(probe).color;
    probe.remove();
    return colour;
  }

  function takeLayer() {
    const latest = feed.latest;
    if (!latest || latest.reading !== app.data?.reading) return false;
    layers.set(latest.layer, latest);
    return true;
  }
  const onLayer = () => { if (takeLayer() && feed.latest.layer === app.view.layer) render(); };
  feed.addEventListener("layer", onLayer);

  // ---- what is drawn ------------------------------------------------------------------------------------------------
  function render() {
    const { view } = app;
    const next = matrix.of(app);
    app.matrix = next;
    app.scale = gf.sequential(root, app.role());
    if (next) shadeTo(Float32Array.from(next.values, (value) => Math.sqrt(Math.min(1, Math.max(0, value) / next.most))));
    write();
    tiles.redraw();
    picture.redraw();
    panel.update();
  }

  function shadeTo(goal) {
    if (animation) animation.stop();
    const from = app.shade;
    if (app.fresh || !from || from.length !== goal.length || app.data.n > 64) { app.shade = goal; return; }
    animation = gf.animate(220, (t) => {
      app.shade = t === 1 ? goal : goal.map((value, i) => from[i] + (value - from[i]) * t);
      picture.redraw();
    });
  }

  function drawChips() {
    const { patterns, arrays } = app.data, count = (i) => arrays.labels.filter((x) => x === i).length;
    const all = chip(null, "all", arrays.labels.length, "");
    chips.replaceChildren(all, ...patterns.map((p, i) => {
      const measured = arrays.scores.subarray(i * arrays.labels.length, (i + 1) * arrays.labels.length);
      const possible = measured.some((x) => !Number.isNaN(x));
      const element = chip(p.id, p.name, possible ? count(i) : "–", possible ? p.about : p.missing);
      element.disabled = !count(i);
      return element;
    }));
  }

  function chip(id, name, count, about) {
    const element = gf.button("", () => set({ pattern: app.view.pattern === id ? null : id }), { pressed: false });
    const dot = make("i", "am-dot");
    if (id) { dot.style.setProperty("--dot", `var(--am-${id})`); element.append(dot); }
    element.append(name, make("span", "am-count", String(count)));
    element.dataset.pattern = id ?? "";
    element.title = about;
    return element;
  }

  function write() {
    const { data, view } = app, index = view.layer * data.heads + view.head, own = data.arrays.labels[index];
    for (const element of chips.children) element.setAttribute("aria-pressed", String((element.dataset.pattern || null) === view.pattern));
    for (const [name, { buttons }] of Object.entries(segments)) {
      for (const [value, button] of buttons) button.setAttribute("aria-pressed", String(view[name] === value));
    }
    segments.measure.buttons.get("values").disabled = view.scope === "rollout";
    for (const { root: element, name, value } of steps) {
      value.textContent = app.narrow ? `${name[0].toUpperCase()}${view[name]}` : `${name} ${view[name]}`;
      element.hidden = name === "head" && view.scope !== "head";
    }
    const one = view.scope === "head", pattern = one && own >= 0 ? data.patterns[own] : null;
    label.textContent = pattern ? `${pattern.short} ${app.scoreOf(own, view.layer, view.head).toFixed(2)}` : one ? "no pattern" : "";
    label.hidden = !one;
    label.style.setProperty("--dot", pattern ? `var(--am-${pattern.id})` : "var(--am-none)");
    strip.hidden = !one;
    sentence.textContent = pattern ? pattern.sentence.replace("{score}", percent(app.scoreOf(own, view.layer, view.head)))
      : one ? (data.n > 1 ? data.words.none : data.words.alone) : data.words[view.scope];
    strip.replaceChildren(...data.patterns.map((p, i) => {
      const cell = make("div", "am-score"), meter = make("span", "am-bar"), length = make("i"), score = app.scoreOf(i, view.layer, view.head);
      cell.classList.toggle("am-own", i === own);
      cell.title = Number.isNaN(score) ? p.missing : p.about;
      length.style.width = `${Number.isNaN(score) ? 0 : 100 * score}%`;
      length.style.background = `var(--am-${p.id})`;
      meter.style.setProperty("--at", `${100 * p.threshold}%`);
      meter.append(length);
      cell.append(make("span", "am-name", p.short), meter, make("span", "am-value", Number.isNaN(score) ? "–" : score.toFixed(2)));
      return cell;
    }));
    cut.hidden = view.form !== "lines";
    drawLegend();
    const summary = describe();
    picture.canvas.setAttribute("aria-label", `${summary} Arrow keys move the pinned pair, M changes map and lines, Escape lets go.`);
    tiles.canvas.setAttribute("aria-label", `${data.layers} layers by ${data.heads} heads in small. ${summary} Arrow keys choose.`);
    root.classList.toggle("am-values", app.role() === "value");
    root.dataset.view = JSON.stringify(view);
    root.dataset.exact = String(Boolean(app.matrix?.exact));
  }

  const percent = (share) => `${Math.round(100 * share)} %`;

  function describe() {
    const { data, view, matrix: now } = app, { pin } = view;
    const what = view.scope === "head" ? `Layer ${view.layer}, head ${view.head}, ${label.textContent}.`
      : view.scope === "average" ? `Average over the heads of layer ${view.layer}.` : `Rollout up to layer ${view.layer}.`;
    return pin && now ? `${what} ${app.shown[pin.q]} reads ${app.shown[pin.k]}: ${gf.number(now.values[pin.q * data.n + pin.k])}.` : what;
  }

  let speaking = 0;
  function say() {
    clearTimeout(speaking);
    speaking = setTimeout(() => { said.textContent = describe(); }, 400);
  }

  function drawLegend() {
    const { view, matrix: now } = app, most = now ? now.most : 1, stops = [];
    for (let i = 0; i <= 10; i++) stops.push(app.scale(i / 10));
    const ramp = make("span", "am-ramp"), ticks = make("span", "am-ticks");
    ramp.style.background = `linear-gradient(90deg, ${stops.join(", ")})`;
    for (const share of [0, 0.05, 0.25, 0.5, 1]) {
      const tick = make("span", "", gf.number(share * most, 2));
      tick.style.left = `${100 * Math.sqrt(share)}%`;
      ticks.append(tick);
    }
    const scale = make("span", "am-scale");
    scale.append(ramp, ticks);
    const name = view.measure === "values" ? "A · ‖v‖" : view.scope === "rollout" ? "share R" : "weight A";
    legend.replaceChildren(make("span", "am-muted", name), scale);
    const aimed = app.aimed();
    aim.hidden = aimed < 0 || view.form !== "map";
    if (aim.hidden) return;
    const box = make("i");
    box.style.borderColor = `var(--am-${app.data.patterns[aimed].id})`;
    aim.replaceChildren(box, app.data.patterns[aimed].aims);
  }

  const drawn = () => (app.view.form === "map" ? heatmap : lines);

  function draw(ctx, width) {
    if (!app.data) return;
    place = drawn().layout(app, width);
    if (picture.canvas.clientHeight !== place.height) { picture.canvas.style.height = `${place.height}px`; return; }
    drawn().paint(surface(ctx, app.mono), app, place);
    const { x, y, cell, top, step, x1, x2 } = place;   // where things are, for whoever drives this page by script
    picture.canvas.dataset.place = JSON.stringify({ x, y, cell, top, step, x1, x2 });
  }

  // ---- pointing, clicking, keys -------------------------------------------------------------------------------------
  function under(event) {
    return place && drawn().at(place, event.offsetX, event.offsetY);
  }
  function showTip(x, y, pair) {
    const both = pair && pair.q !== undefined && pair.k !== undefined;
    if (!both) { tip.hide(); return; }
    const here = picture.canvas.getBoundingClientRect(), all = root.getBoundingClientRect();
    tip.show(x + here.left - all.left, y + here.top - all.top, matrix.arithmetic(app, pair.q, pair.k));
  }
  picture.canvas.addEventListener("pointermove", (event) => {
    if (event.pointerType === "touch") return;
    const pair = under(event);
    picture.canvas.style.cursor = pair ? "pointer" : "";
    point(pair);
    showTip(event.offsetX, event.offsetY, pair);
  });
  picture.canvas.addEventListener("pointerleave", () => { point(null); tip.hide(); });
  picture.canvas.addEventListener("click", (event) => {
    const pair = under(event);
    if (!pair) { tip.hide(); return; }
    const target = complete(pair), { pin } = app.view;
    if (!target) return;
    set({ pin: pin && pin.q === target.q && pin.k === target.k ? null : target });
    showTip(event.offsetX, event.offsetY, pair);
  });

  function complete({ q, k }) {   // a token alone is pinned with its strongest partner
    const { data, matrix: now } = app, n = data.n, seen = (i, j) => data.arrays.mask[i * n + j];
    if (q !== undefined && k !== undefined) return seen(q, k) ? { q, k } : null;
    let best = null;
    for (let i = 0; i < n; i++) {
      const pair = q !== undefined ? { q, k: i } : { q: i, k };
      const value = now ? now.values[pair.q * n + pair.k] : 0;
      if (seen(pair.q, pair.k) && (!best || value > best.value)) best = { ...pair, value };
    }
    return best && { q: best.q, k: best.k };
  }

  function walk(down, right) {
    const { data, view } = app, n = data.n, from = view.pin ?? complete({ q: n - 1 });
    if (!view.pin) { set({ pin: from }); return; }
    const q = Math.max(0, Math.min(n - 1, from.q + down));
    let k = Math.max(0, Math.min(n - 1, from.k + right));
    while (k > 0 && !data.arrays.mask[q * n + k]) k--;
    if (data.arrays.mask[q * n + k]) set({ pin: { q, k } });
  }
  gf.keys(picture.canvas, { ArrowUp: () => walk(-1, 0), ArrowDown: () => walk(1, 0), ArrowLeft: () => walk(0, -1),
    ArrowRight: () => walk(0, 1) });
  gf.keys(root, { m: () => set({ form: app.view.form === "map" ? "lines" : "map" }),
    Escape: () => { tip.hide(); point(null); set({ pin: null }); } });

  // ---- files --------------------------------------------------------------------------------------------------------
  function fileName() {
    const { view } = app;
    return `attention-layer-${view.layer}${view.scope === "head" ? `-head-${view.head}` : `-${view.scope}`}`;
  }
  function saveSvg() {
    const s = gf.svg(place.width, place.height, app.colours.background);
    drawn().paint(s, app, place);
    s.save(`${fileName()}.svg`);
  }
  function saveCsv() {
    const { data, matrix: now } = app, n = data.n, quote = (text) => `"${text.replaceAll('"', '""')}"`;
    const rows = ["query,query_token,key,key_token,value"];
    for (let i = 0; now && i < n * n; i++) {
      if (!data.arrays.mask[i]) continue;
      const q = Math.floor(i / n), k = i % n;
      rows.push(`${q},${quote(data.tokens[q])},${k},${quote(data.tokens[k])},${now.values[i]}`);
    }
    gf.saveText(`${rows.join("\n")}\n`, `${fileName()}.csv`, "text/csv");
  }

  const observer = new ResizeObserver(([entry]) => {
    const width = entry.contentRect.width, narrow = width < 700;
    if (app.data && narrow !== app.narrow) requestAnimationFrame(render);
    app.narrow = narrow;
    root.classList.toggle("am-narrow", app.narrow);
    root.classList.toggle("am-medium", !app.narrow && width < 980);
    if (app.data) {
      const ideal = Math.max(190, Math.min(tiles.idealWidth(app.tall), width * 0.27));
      stage.style.setProperty("--mosaic", `${Math.ceil(ideal)}px`);
    }
    tiles.redraw();
    picture.redraw();
  });
  observer.observe(root);
  // Few layers leave room under the mosaic: the measured scores go there, else under the map.
  const underTiles = new ResizeObserver(() => {
    const home = !app.narrow && tiles.canvas.clientHeight < 400 ? left : main;
    if (strip.parentElement !== home) home.append(strip);
  });
  underTiles.observe(tiles.canvas);

  return { update, destroy() {
    observer.disconnect();
    underTiles.disconnect();
    clearTimeout(reporting);
    clearTimeout(speaking);
    if (animation) animation.stop();
    feed.removeEventListener("layer", onLayer);
    tiles.destroy();
    panel.destroy();
    picture.destroy();
  } };
});
