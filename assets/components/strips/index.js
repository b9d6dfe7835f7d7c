/* Single neurons over the tokens of the text: a row of numbers for each part (the open gate, u, their product), each row
   coloured by its own largest size.

   The sliders choose the layer and the word whose loudest neurons are shown, out of the frames that the server computed.
   Hover a cell for its arithmetic, a click or the arrows leave it there.
   Data: charts/strips.py says what the header holds. Reports: stand, with layer and word where the learner left them, and
   the epoch of the message they answer to. */
export default (component) => gf.mount(component, (root, first) => {
  const ROW = 26, HEAD = 27, FOOT = 46, TILT = 55 * Math.PI / 180, LETTER = 7.9;
  let spec = null, c = null, map = null, layer = 0, word = 0, pinned = { row: 0, token: 0 }, hover = null, send = first;
  let waiting = 0;
  const layers = plot.scrubber("", (i) => { layer = i; read(); tell(); });
  const words = plot.scrubber("", (i) => {
    word = pinned.token = i;
    read();
    tell();
  });
  const bar = document.createElement("div"), sum = document.createElement("p");
  bar.className = "bar";
  bar.append(layers.element, words.element);
  root.append(bar);
  const view = gf.canvas(root, { label: "", draw });
  const tip = gf.tooltip(view.wrap);
  sum.className = "sum";
  sum.setAttribute("role", "status");
  root.append(sum);

  const count = () => spec.arrays.ids.shape[2];   // neurons
  const rows = () => count() * spec.parts.length;
  const tokens = () => spec.words.values;
  const id = (j) => spec.arrays.ids[(layer * tokens().length + word) * count() + j];

  function value(part, j, token) {
    const [, l, w, n, t] = spec.arrays.values.shape;
    return spec.arrays.values[(((part * l + layer) * w + word) * n + j) * t + token];
  }

  function tell() {
    clearTimeout(waiting);
    waiting = setTimeout(() => send.setStateValue("stand", { epoch: spec.epoch, layer: spec.layers.values[layer],
      word: spec.words.values[word] }), 250);
  }

  function layout(w) {
    const narrow = w < 560, x = narrow ? 74 : 104, n = tokens().length;
    const lengths = tokens().map((name) => LETTER * Array.from(name).length), longest = Math.max(...lengths);
    const tilted = longest + 8 > (w - x - 8) / n;
    const cell = (w - x - (tilted ? Math.max(8, lengths[n - 1] * Math.cos(TILT)) : 8)) / n;
    const y = tilted ? Math.ceil(longest * Math.sin(TILT)) + 16 : 24;
    return { x, y, cell, tilted, narrow, height: y + count() * HEAD + rows() * ROW + FOOT };
  }

  const top = (l, row) => l.y + HEAD * (Math.floor(row / spec.parts.length) + 1) + ROW * row;

  function draw(ctx, w, h) {
    if (!spec) return;
    const l = layout(w);
    if (h !== l.height) { view.canvas.style.height = `${l.height}px`; return; }   // and it is drawn again
    ctx.textBaseline = "alphabetic";
    header(ctx, l);
    const parts = spec.parts.length;
    for (let row = 0; row < rows(); row++) {
      const j = Math.floor(row / parts), part = row % parts, y = top(l, row);
      if (!part) write(ctx, `neuron ${id(j)}`, 2, y - 8, { fill: c.ink, weight: 600, family: plot.SANS, size: 15 });
      write(ctx, spec.parts[part], l.x - 8, y + 18, { fill: c.muted, align: "right" });
      cells(ctx, l, part, j, y);
    }
    ctx.strokeStyle = c.ffn;
    ctx.lineWidth = 2;
    for (let j = 0; j < count(); j++) {
      ctx.strokeRect(l.x + word * l.cell, top(l, j * parts), l.cell, parts * ROW);
    }
    const { row, token } = hover ?? pinned;
    ctx.strokeStyle = c.ink;
    ctx.lineWidth = 2.5;
    ctx.strokeRect(l.x + token * l.cell, top(l, row), l.cell, ROW);
    legend(ctx, l, w, h);
  }

  function write(ctx, text, x, y, { fill, weight = 400, family = plot.MONO, size = 13, align = "left" }) {
    ctx.font = `${weight} ${size}px ${family}`;
    ctx.fillStyle = fill;
    ctx.textAlign = align;
    ctx.fillText(text, x, y);
  }

  function header(ctx, l) {
    tokens().forEach((name, t) => {
      const look = { fill: t === word ? c.ffn : c.ink, weight: t === word ? 700 : 400, size: l.cell < 20 ? 11 : 13 };
      const middle = l.x + (t + 0.5) * l.cell;
      if (!l.tilted) return write(ctx, name, middle, l.y - 4, { ...look, align: "center" });
      ctx.save();
      ctx.translate(middle + 4, l.y + 8);
      ctx.rotate(-TILT);
      write(ctx, name, 0, 0, look);
      ctx.restore();
    });
  }

  function cells(ctx, l, part, j, y) {
    const found = tokens().map((_, t) => value(part, j, t));
    const most = Math.max(...found.map(Math.abs)) || 1;
    found.forEach((v, t) => {
      const x = l.x + t * l.cell, fill = map((v / most + 1) / 2);
      ctx.fillStyle = fill;
      ctx.fillRect(x, y, l.cell, ROW);
      ctx.strokeStyle = c.line;
      ctx.lineWidth = 1;
      ctx.strokeRect(x + 0.5, y + 0.5, l.cell - 1, ROW - 1);
      if (l.cell < 44) return;
      write(ctx, v.toFixed(2).replace(/^-(?=0\.00$)/, "").replace("-", "−"), x + l.cell / 2, y + 18,
        { fill: plot.readable(c, fill), align: "center" });
    });
  }

  function legend(ctx, l, w, h) {
    const wide = l.narrow ? 110 : 200, y = h - 34;
    for (let i = 0; i < wide; i++) {
      ctx.fillStyle = map(i / (wide - 1));
      ctx.fillRect(l.x + i, y, 1, 12);
    }
    for (const [share, name] of [[0, "−1"], [0.5, "0"], [1, "1"]]) {
      write(ctx, name, l.x + share * wide, y + 27, { fill: c.muted, align: "center" });
    }
    write(ctx, l.narrow ? "of the row's largest" : "as a share of the row's largest size", l.x + wide + 12, y + 11,
      { fill: c.ink, family: plot.SANS, size: 14 });
  }

  function read() {
    const { row, token } = hover ?? pinned, j = Math.floor(row / spec.parts.length);
    const numbers = spec.parts.map((_, part) => gf.number(value(part, j, token)));
    const product = numbers.pop(), [name, ...factors] = [...spec.parts].reverse();
    const who = `neuron ${id(j)} at ${tokens()[token]}`;
    const arithmetic = `${name} = ${factors.reverse().join(" × ")} = ${numbers.join(" × ")} = ${product}`;
    sum.textContent = `${who}: ${arithmetic}`;
    if (hover) tip.show(hover.x, hover.y, [{ text: who, strong: true }, { text: arithmetic, colour: c.ffn }]);
    else tip.hide();
    view.redraw();
  }

  function under(event) {
    const rect = view.canvas.getBoundingClientRect(), l = layout(rect.width);
    const x = event.clientX - rect.left, y = event.clientY - rect.top, token = Math.floor((x - l.x) / l.cell);
    for (let row = 0; row < rows() && token >= 0 && token < tokens().length; row++) {
      if (y >= top(l, row) && y < top(l, row) + ROW) return { row, token, x, y };
    }
    return null;
  }

  view.canvas.addEventListener("pointermove", (event) => {
    if (!spec || event.pointerType === "touch") return;
    hover = under(event);
    read();
  });
  view.canvas.addEventListener("pointerleave", () => { hover = null; if (spec) read(); });
  view.canvas.addEventListener("click", (event) => {
    const cell = spec && under(event);
    if (cell) { pinned = cell; read(); }
  });
  const step = (down, right) => () => {
    hover = null;
    pinned = { row: Math.max(0, Math.min(rows() - 1, pinned.row + down)),
      token: Math.max(0, Math.min(tokens().length - 1, pinned.token + right)) };
    read();
  };
  gf.keys(view.canvas, { ArrowLeft: step(0, -1), ArrowRight: step(0, 1), ArrowUp: step(-1, 0), ArrowDown: step(1, 0) });

  return {
    update(component) {
      send = component;
      const before = spec;
      spec = gf.unpack(component.data);
      c = gf.colours(root);
      map = gf.diverging(root);
      const kept = before && before.epoch === spec.epoch;   // then layer and word are the learner's
      if (!kept) clearTimeout(waiting);
      const index = (choice, was) => choice.values.indexOf(kept && choice.values.includes(was) ? was : choice.at);
      layer = index(spec.layers, before && before.layers.values[layer]);
      word = index(spec.words, before && before.words.values[word]);
      if (!kept) pinned = { row: 0, token: word };
      hover = null;
      layers.element.hidden = spec.layers.values.length < 2;
      for (const [slider, choice, at] of [[layers, spec.layers, layer], [words, spec.words, word]]) {
        slider.element.firstChild.textContent = choice.label;
        slider.set(choice.values.map(String), at);
      }
      view.canvas.setAttribute("aria-label", spec.label);
      const { height } = layout(view.size().width);
      view.canvas.style.height = `${height}px`;
      read();
    },
    destroy() { clearTimeout(waiting); view.destroy(); },
  };
});
