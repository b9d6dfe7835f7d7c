/* All heads in small, on one canvas: rows are layers, columns are heads, the tint is the head's measured pattern.

   mosaic(app, root) -> {refresh(): data, theme or measure changed; redraw(); idealWidth(height); canvas; destroy()}
   Where the room is wide and low (a phone), the layers are folded into several blocks side by side. */
const mosaic = (app, root) => {
  const picture = document.createElement("canvas");   // every head at side × side pixels, in its tint
  const GAP = 2, TOP = 18, LEFT = 24, BETWEEN = 14, LARGEST = 60;
  let layout = null, hover = null, blend = 0, animation = null;

  const part = gf.canvas(root, { label: "", draw });
  const { canvas } = part;
  const preview = document.createElement("div");
  preview.className = "am-preview";
  preview.setAttribute("aria-hidden", "true");
  const [large, title, about] = ["canvas", "div", "div"].map((tag) => document.createElement(tag));
  title.className = "am-preview-title";
  preview.append(large, title, about);
  part.wrap.append(preview);

  function arrange(width, limit) {
    const { layers, heads } = app.data;
    let best = null;
    for (let fold = 1; fold <= Math.min(6, layers); fold++) {
      const rows = Math.ceil(layers / fold), room = width - fold * LEFT - (fold - 1) * BETWEEN;
      const tile = Math.min(LARGEST, room / (fold * heads), (limit - TOP) / rows);
      if (!best || tile > best.tile * 1.15) best = { fold, rows, tile: tile > 8 ? Math.floor(tile) : tile };
    }
    const block = best.tile * heads + LEFT + BETWEEN;
    return { ...best, width, height: Math.ceil(TOP + best.rows * best.tile) + 2,
      place: (l, h) => ({ x: Math.floor(l / best.rows) * block + LEFT + h * best.tile,
        y: TOP + (l % best.rows) * best.tile }),
      at(x, y) {
        const b = Math.min(best.fold - 1, Math.floor(x / block)), h = Math.floor((x - b * block - LEFT) / best.tile);
        const r = Math.floor((y - TOP) / best.tile), l = b * best.rows + r;
        return h >= 0 && h < heads && r >= 0 && r < best.rows && l < layers ? { layer: l, head: h } : null;
      } };
  }

  function idealWidth(limit) {
    const { layers, heads } = app.data, tile = Math.min(LARGEST, Math.floor((limit - TOP) / layers));
    return LEFT + heads * tile + 2;
  }

  function paintPicture() {
    const { data, colours: c } = app, { side, layers, heads } = data, { weights, valued, labels } = data.arrays;
    picture.width = heads * side;
    picture.height = layers * side;
    const image = new ImageData(picture.width, picture.height), pixels = image.data;
    const maps = new Map([...data.patterns.keys(), -1].map((i) => [i, tint(i < 0 ? c.none : c.patterns[i])]));
    for (let index = 0; index < layers * heads; index++) {
      const lut = maps.get(labels[index]), x0 = (index % heads) * side, y0 = Math.floor(index / heads) * side;
      for (let i = 0; i < side * side; i++) {
        const at = index * side * side + i, value = blend === 0 ? weights[at] : blend === 1 ? valued[at]
          : weights[at] + (valued[at] - weights[at]) * blend;
        const from = 4 * Math.round(value), to = 4 * ((y0 + Math.floor(i / side)) * picture.width + x0 + (i % side));
        pixels[to] = lut[from];
        pixels[to + 1] = lut[from + 1];
        pixels[to + 2] = lut[from + 2];
        pixels[to + 3] = 255;
      }
    }
    picture.getContext("2d").putImageData(image, 0, 0);
  }

  const tint = (colour) => {
    const base = gf.mix(app.colours.background, colour, 0.11);   // a head's tint shows even where its map is empty
    return gf.scale([[0, base], [0.5, gf.mix(base, colour, 0.65)], [1, colour]]).lut;
  };
  const matches = (l, h) => app.view.pattern === null
    || app.data.patterns[app.data.arrays.labels[l * app.data.heads + h]]?.id === app.view.pattern;

  function draw(ctx, width) {
    const { data, view, colours: c, mono } = app, { side, layers, heads } = data;
    layout = arrange(width, app.narrow ? 330 : app.tall);
    if (canvas.clientHeight !== layout.height) { canvas.style.height = `${layout.height}px`; return; }
    const { tile } = layout, inner = tile - GAP;
    canvas.dataset.place = JSON.stringify({ tile, first: layout.place(0, 0), own: layout.place(view.layer, view.head) });
    ctx.imageSmoothingEnabled = true;
    ctx.imageSmoothingQuality = "high";
    for (let l = 0; l < layers; l++) {
      for (let h = 0; h < heads; h++) {
        const { x, y } = layout.place(l, h);
        ctx.globalAlpha = matches(l, h) ? 1 : 0.13;
        ctx.imageSmoothingEnabled = inner < side * 1.5;
        ctx.drawImage(picture, h * side, l * side, side, side, x, y, inner, inner);
      }
    }
    ctx.globalAlpha = 1;
    ctx.font = `11px ${mono}`;
    ctx.fillStyle = c.muted;
    const everyLayer = Math.max(1, Math.ceil(14 / tile)), everyHead = Math.max(1, Math.ceil(13 / tile));
    ctx.textAlign = "right";
    for (let l = 0; l < layers; l++) {
      const { x, y } = layout.place(l, 0), own = l === view.layer;
      ctx.fillStyle = own ? c.ink : c.muted;
      if (own || ((l % layout.rows) % everyLayer === 0 && Math.abs(l - view.layer) * tile > 11)) {
        ctx.fillText(String(l), x - 5, y + inner / 2 + 4);
      }
    }
    ctx.textAlign = "center";
    for (let b = 0; b < layout.fold; b++) {
      for (let h = 0; h < heads; h += everyHead) {
        ctx.fillStyle = h === view.head && b === Math.floor(view.layer / layout.rows) ? c.ink : c.muted;
        ctx.fillText(String(h), layout.place(b * layout.rows, h).x + inner / 2, TOP - 6);
      }
    }
    if (hover) ring(ctx, hover.layer, hover.head, 1.5, c.muted);
    if (view.scope === "head") { ring(ctx, view.layer, view.head, 2.5, c.ink); return; }
    const first = view.scope === "rollout" ? 0 : view.layer;   // a map over heads, or over layers too: one ring around all
    for (let b = Math.floor(first / layout.rows); b <= Math.floor(view.layer / layout.rows); b++) {
      const from = Math.max(first, b * layout.rows), to = Math.min(view.layer, (b + 1) * layout.rows - 1);
      ring(ctx, from, 0, 2.5, c.ink, heads, to - from + 1);
    }
  }

  function ring(ctx, l, h, lineWidth, colour, across = 1, down = 1) {
    const { x, y } = layout.place(l, h), { tile } = layout, half = lineWidth / 2;
    ctx.beginPath();
    ctx.roundRect(x - half, y - half, across * tile - GAP + lineWidth, down * tile - GAP + lineWidth, 2);
    ctx.strokeStyle = colour;
    ctx.lineWidth = lineWidth;
    ctx.stroke();
  }

  function enlarge() {
    preview.classList.toggle("am-on", hover !== null);
    if (!hover) return;
    const { data, colours: c } = app, { side, heads } = data, { layer: l, head: h } = hover, size = 184;
    const ratio = window.devicePixelRatio || 1;
    large.width = large.height = size * ratio;
    const ctx = large.getContext("2d");
    ctx.imageSmoothingEnabled = false;
    ctx.drawImage(picture, h * side, l * side, side, side, 0, 0, large.width, large.height);
    const label = data.arrays.labels[l * heads + h];
    title.textContent = `layer ${l} · head ${h}`;
    about.textContent = label < 0 ? "no pattern" : `${data.patterns[label].name} ${gf.number(app.scoreOf(label, l, h), 2)}`;
    about.style.color = label < 0 ? c.muted : "";
    const { x, y } = layout.place(l, h), right = x + layout.tile + 10;
    const box = { w: size + 22, h: size + 66 };
    preview.style.left = `${app.narrow ? Math.max(0, Math.min(right, layout.width - box.w)) : right}px`;
    preview.style.top = `${Math.max(-40, Math.min(y - box.h / 2, layout.height - box.h))}px`;
  }

  function point(event) {
    const next = layout && layout.at(event.offsetX, event.offsetY);
    if (next?.layer === hover?.layer && next?.head === hover?.head) return;
    hover = next;
    canvas.style.cursor = hover ? "pointer" : "";
    enlarge();
    part.redraw();
  }
  canvas.addEventListener("pointermove", (event) => { if (event.pointerType !== "touch") point(event); });
  canvas.addEventListener("pointerleave", () => { hover = null; enlarge(); part.redraw(); });
  canvas.addEventListener("click", (event) => {
    const target = layout && layout.at(event.offsetX, event.offsetY);
    if (target) app.set({ ...target, scope: "head" });
  });

  function step(layers, heads) {
    const { data, view } = app;
    if (view.pattern === null) {
      app.set({ layer: clamp(view.layer + layers, data.layers), head: clamp(view.head + heads, data.heads) });
      return;
    }
    const found = [];   // within a filter the arrows go from match to match
    for (let i = 0; i < data.layers * data.heads; i++) {
      if (matches(Math.floor(i / data.heads), i % data.heads)) found.push(i);
    }
    if (!found.length) return;
    const own = view.layer * data.heads + view.head, forward = layers + heads > 0;
    const next = forward ? found.find((i) => i > own) ?? found[0] : found.findLast((i) => i < own) ?? found.at(-1);
    app.set({ layer: Math.floor(next / data.heads), head: next % data.heads });
  }
  const clamp = (value, below) => Math.max(0, Math.min(below - 1, value));
  gf.keys(canvas, { ArrowUp: () => step(-1, 0), ArrowDown: () => step(1, 0), ArrowLeft: () => step(0, -1),
    ArrowRight: () => step(0, 1) });

  function refresh() {
    const goal = app.view.measure === "values" && app.view.scope !== "rollout" ? 1 : 0;
    if (animation) animation.stop();
    if (goal === blend || !picture.width || app.fresh) {
      blend = goal;
      paintPicture();
    } else {
      const from = blend;
      animation = gf.animate(320, (t) => { blend = from + (goal - from) * t; paintPicture(); part.redraw(); });
    }
    part.redraw();
  }

  return { refresh, redraw: part.redraw, canvas, idealWidth,
    destroy() { if (animation) animation.stop(); part.destroy(); } };
};
