/* Attention maps: every head in small, one head large, and what the token in hand reads.

   data: charts/attention_maps.overview (the text's), and charts/attention_maps.layer through attention_layer (the layer's).
   Everything the learner does is answered here; what they settled on is reported to the server, which keeps the URL. */
export default (component) => gf.mount(component, (root, first) => {
  const feed = globalThis.glassformerLayers ??= new EventTarget();
  const app = { data: null, view: null, hover: null, matrix: null, shade: null, cut: 0.1, tall: 600, narrow: false,
    fresh: true };
  let host = first, layers = new Map(), animation = null, reporting = 0, reported = 0;

  root.classList.add("am");
  const [stage, left, main, side, said] = ["am-stage", "am-left", "am-main", "am-side", "gf-sr"].map((className) => {
    const element = document.createElement("div");
    element.className = className;
    return element;
  });
  said.setAttribute("role", "status");
  stage.append(left, main, side);
  const around = controls(app, { svg: saveSvg, png: () => gf.savePng(picture.canvas, `${fileName()}.png`), csv: saveCsv });
  root.append(around.chips, around.top, around.sentence, stage, said);
  const picture = gf.canvas(main, { label: "", draw });
  picture.wrap.classList.add("am-picture");
  main.append(around.foot, around.strip);
  const tip = gf.tooltip(root);   // over the whole width, so that it need not cover the map
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
    set, point, redraw: () => picture.redraw(),
  });
  const tiles = mosaic(app, left), panel = details(app, side);

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
    if (changed) {
      around.reset();
      side.hidden = data.hide.includes("details");
      arrange(root.clientWidth);
    }
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

  function write() {
    const { data, view } = app, summary = describe();
    around.write();
    picture.canvas.setAttribute("aria-label",
      `${summary} Arrow keys move the pinned pair, M changes map and lines, Escape lets go.`);
    tiles.canvas.setAttribute("aria-label",
      `${data.layers} layers by ${data.heads} heads in small. ${summary} Arrow keys choose.`);
    root.classList.toggle("am-values", app.role() === "value");
    root.dataset.view = JSON.stringify(view);
    root.dataset.exact = String(Boolean(app.matrix?.exact));
  }

  function describe() {
    const { data, view, matrix: now } = app, { pin } = view;
    const what = view.scope === "head" ? `Layer ${view.layer}, head ${view.head}, ${around.label()}.`
      : view.scope === "average" ? `Average over the heads of layer ${view.layer}.` : `Rollout up to layer ${view.layer}.`;
    if (!pin || !now) return what;
    return `${what} ${app.shown[pin.q]} reads ${app.shown[pin.k]}: ${gf.number(now.values[pin.q * data.n + pin.k])}.`;
  }

  let speaking = 0;
  function say() {
    clearTimeout(speaking);
    speaking = setTimeout(() => { said.textContent = describe(); }, 400);
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

  function arrange(width) {
    const narrow = width < 700;
    if (app.data && narrow !== app.narrow) requestAnimationFrame(render);
    app.narrow = narrow;
    root.classList.toggle("am-narrow", narrow);
    root.classList.toggle("am-medium", !narrow && width < 980);
    if (app.data) {
      const ideal = Math.max(190, Math.min(tiles.idealWidth(app.tall), width * 0.27));
      stage.style.setProperty("--mosaic", `${Math.ceil(ideal)}px`);
    }
    tiles.redraw();
    picture.redraw();
  }
  const observer = new ResizeObserver(([entry]) => arrange(entry.contentRect.width));
  observer.observe(root);
  // Few layers leave room under the mosaic: the measured scores go there, else under the map.
  const underTiles = new ResizeObserver(() => {
    const home = !app.narrow && tiles.canvas.clientHeight < 400 ? left : main;
    if (around.strip.parentElement !== home) home.append(around.strip);
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
