/* Who pulls at the weights: a bar for each loss, cut into groups of examples by the length of their gradients, and under
   the chosen bar the examples that pull most, as the model saw them.

   Two sliders choose the problem and the training step; a click or up and down choose the loss, left and right the step.
   Hover a piece of a bar, or an example, for its numbers.
   Data: charts/losses.py says what the header holds. Reports: stand, with cursor (the step), frames (the problem) and pick (the
   loss) where the learner left them, and the epoch of the message they answer to. */
export default (component) => gf.mount(component, (root, first) => {
  const TOP = 30, BAR = 34, GAP = 12, HEAD = 34;
  let spec = null, c = null, setting = 0, step = 0, row = 0, hover = null, send = first, waiting = 0;
  const problem = plot.scrubber("", (i) => { setting = i; read(); tell(); });
  const time = plot.scrubber("", (i) => { step = i; read(); tell(); });
  const bar = document.createElement("div");
  bar.className = "bar";
  bar.append(problem.element, time.element);
  root.append(bar);
  const view = gf.canvas(root, { label: "", draw: (ctx, w, h) => spec && draw(plot.onCanvas(ctx), w, h) });
  const { sum, tools } = plot.foot(view, () => spec.name, () => plot.saveSvg(`${spec.name}.svg`, view.size(), c.background, draw));
  root.append(sum, tools);

  const narrow = (w) => w < 560;
  const side = (w) => (narrow(w) ? 0 : 150);                            // room for the names
  const barTop = (i, w) => TOP + i * (BAR + GAP + (narrow(w) ? 20 : 0)) + (narrow(w) ? 20 : 0);
  const under = (w) => barTop(spec.names.length, w) + HEAD;             // where the examples begin
  const columns = (w) => (narrow(w) ? 5 : spec.places);
  const cell = (w) => Math.min(118, w / columns(w));
  const tall = (w) => cell(w) + 48;                                     // an example with what is written under it
  const height = (w) => under(w) + Math.ceil(spec.places / columns(w)) * tall(w);
  const group = (name, i, g) => {                                       // of bar i at this problem and step
    const a = spec.arrays[name];
    return a[((setting * spec.steps.values.length + step) * spec.names.length + i) * spec.groups.length + g];
  };
  const example = (name, k) => {
    const a = spec.arrays[name];
    return a[((setting * spec.steps.values.length + step) * spec.names.length + row) * spec.places + k];
  };
  const many = (g) => spec.arrays.counts[setting * spec.groups.length + g];
  const colour = (g) => gf.mix(c.background, c[spec.groups[g].role], spec.groups[g].shade);
  const percent = (share) => (share < 0.0995 ? `${(100 * share).toFixed(1)} %` : `${Math.round(100 * share)} %`);
  const said = (told) => spec.called[told];

  function tell() {
    clearTimeout(waiting);
    waiting = setTimeout(() => send.setStateValue("stand", { epoch: spec.epoch, cursor: spec.steps.values[step],
      frames: [spec.settings.values[setting]], pick: spec.names[row] }), 250);
  }

  function pieces(i, w) {   // [group, from, to] of bar i, in pixels
    let from = side(w);
    const room = w - side(w) - 2;
    return spec.groups.map((_, g) => [g, from, from += room * group("shares", i, g)]);
  }

  function draw(p, w) {
    legend(p, w);
    spec.names.forEach((name, i) => {
      const y = barTop(i, w), chosen = i === row;
      p.text(narrow(w) ? 2 : side(w) - 12, narrow(w) ? y - 6 : y + BAR / 2 + 5, name,
        { fill: chosen ? c.ink : c.muted, anchor: narrow(w) ? "start" : "end", family: plot.SANS, size: 15, weight: chosen ? 700 : 400 });
      for (const [g, from, to] of pieces(i, w)) {
        if (to - from < 0.5) continue;
        const fill = colour(g), lit = hover && hover.bar === i && hover.group === g;
        p.rect(from, y, Math.max(0.5, to - from - 1), BAR, { fill: lit ? c.ink : fill, radius: 3 });
        const text = percent(group("shares", i, g));
        if (to - from > 9 * text.length) {
          p.text((from + to) / 2, y + BAR / 2 + 5, text, { fill: plot.readable(c, lit ? c.ink : fill), anchor: "middle", size: 14 });
        }
      }
      if (chosen) p.rect(side(w) - 3, y - 3, w - side(w) + 3, BAR + 6, { stroke: c.ink, radius: 5 });
    });
    const y = under(w), size = cell(w);
    p.text(2, y - 12, `${spec.names[row]}: the ${spec.places} that pull most`,
      { fill: c.ink, family: plot.SANS, size: 15, weight: 600 });
    for (let k = 0; k < spec.places; k++) {
      const [x, top] = place(k, w), wrong = example("wrong", k) === 1;
      const lit = hover && hover.example === k;
      p.image(picture(example("at", k)), x + 5, top, size - 10, size - 10);
      p.rect(x + 5, top, size - 10, size - 10, { stroke: lit || wrong ? c.ink : c.line, radius: 2 });
      const label = `${wrong ? "✗ " : ""}told ${said(example("told", k))}`;
      p.text(x + size / 2, top + size + 8, label, { fill: c.ink, anchor: "middle", family: plot.SANS, size: narrow(w) ? 12 : 14, weight: 600 });
      p.text(x + size / 2, top + size + 25, `${percent(example("share", k))}`, { fill: c.muted, anchor: "middle", size: narrow(w) ? 12 : 13 });
    }
  }

  function legend(p, w) {
    let x = narrow(w) ? 2 : side(w);
    for (let g = 0; g < spec.groups.length; g++) {
      if (!many(g)) continue;
      const text = narrow(w) ? spec.groups[g].name.replace(" negatives", " neg.").replace(" labels", "") : `${spec.groups[g].name} (${many(g)})`;
      p.rect(x, 6, 13, 13, { fill: colour(g), radius: 3 });
      p.text(x + 18, 17, text, { fill: c.ink, family: plot.SANS, size: narrow(w) ? 13 : 14 });
      x += 18 + (narrow(w) ? 6.2 : 6.7) * text.length + 14;
    }
  }

  const place = (k, w) => [(k % columns(w)) * cell(w), under(w) + Math.floor(k / columns(w)) * tall(w)];

  function picture(image) {   // ink on paper, in this theme's colours
    const n = spec.side, one = Object.assign(document.createElement("canvas"), { width: n, height: n });
    const ctx = one.getContext("2d"), pixels = ctx.createImageData(n, n), paper = gf.rgb(c.background), ink = gf.rgb(c.ink);
    for (let i = 0; i < n * n; i++) {
      const t = spec.arrays.digits[image * n * n + i] / 255;
      for (let k = 0; k < 3; k++) pixels.data[4 * i + k] = paper[k] + (ink[k] - paper[k]) * t;
      pixels.data[4 * i + 3] = 255;
    }
    ctx.putImageData(pixels, 0, 0);
    return one;
  }

  function read() {
    const at = `step ${plot.tick(spec.steps.values[step])}`;
    if (hover && hover.example !== undefined) {
      const k = hover.example, told = example("told", k), shows = spec.arrays.true[example("at", k)];
      sum.textContent = `${spec.names[row]}, ${at}: this ${shows} was called ${said(told)} in the training${example("wrong", k) ? ", a flipped label" : ""}; the model gives that `
        + `p_t = ${gf.number(example("p", k))}, and it alone makes ${percent(example("share", k))} of all lengths.`;
    } else {
      const i = hover ? hover.bar : row;
      const g = hover ? hover.group : spec.groups.reduce((best, _, j) => (group("shares", i, j) > group("shares", i, best) ? j : best), 0);
      const share = group("shares", i, g), whole = spec.groups.reduce((n, _, j) => n + many(j), 0);
      const each = share / (many(g) / whole);
      sum.textContent = `${spec.names[i]}, ${at}: ${many(g)} ${spec.groups[g].name} of ${plot.tick(whole)} examples make ${percent(share)} `
        + `of the gradients' lengths (${percent(group("lo", i, g))} to ${percent(group("hi", i, g))} by seed), each `
        + `${gf.number(each)} times an average example's.`;
    }
    view.canvas.setAttribute("aria-label", `${spec.label}. ${sum.textContent}`);
    view.canvas.style.height = `${height(view.size().width)}px`;
    view.redraw();
  }

  function over(event) {
    const { width: w } = view.size(), x = event.offsetX, y = event.offsetY;
    for (let i = 0; i < spec.names.length; i++) {
      if (y < barTop(i, w) - GAP / 2 || y > barTop(i, w) + BAR + GAP / 2) continue;
      const found = pieces(i, w).find(([, from, to]) => x >= from && x <= to);
      return found ? { bar: i, group: found[0] } : { bar: i, group: 0, name: true };
    }
    for (let k = 0; k < spec.places; k++) {
      const [left, top] = place(k, w);
      if (x >= left && x < left + cell(w) && y >= top && y < top + tall(w)) return { example: k };
    }
    return null;
  }

  view.canvas.addEventListener("pointermove", (event) => {
    if (!spec) return;
    hover = over(event);
    if (hover && hover.name) hover = null;
    read();
  });
  view.canvas.addEventListener("pointerleave", () => { hover = null; if (spec) read(); });
  view.canvas.addEventListener("click", (event) => {
    const found = spec && over(event);
    if (found && found.bar !== undefined) { row = found.bar; read(); tell(); }
  });
  const choose = (by) => () => {
    row = Math.max(0, Math.min(spec.names.length - 1, row + by));
    hover = null;
    read();
    tell();
  };
  const move = (by) => () => {
    step = Math.max(0, Math.min(spec.steps.values.length - 1, step + by));
    time.set(spec.steps.values.map((v) => plot.tick(v)), step);
    hover = null;
    read();
    tell();
  };
  gf.keys(view.canvas, { ArrowUp: choose(-1), ArrowDown: choose(1), ArrowLeft: move(-1), ArrowRight: move(1) });
  const resized = new ResizeObserver(() => { if (spec) view.canvas.style.height = `${height(view.size().width)}px`; });
  resized.observe(root);

  return {
    update(next) {
      send = next;
      const before = spec;
      spec = gf.unpack(next.data);
      c = gf.colours(root);
      if (!before || before.epoch !== spec.epoch) {
        clearTimeout(waiting);
        setting = spec.settings.values.indexOf(spec.settings.at);
        step = spec.steps.values.indexOf(spec.steps.at);
        row = spec.names.indexOf(spec.pick);
      }
      problem.element.firstChild.textContent = spec.settings.label;
      problem.set(spec.settings.values, setting);
      time.element.firstChild.textContent = spec.steps.label;
      time.set(spec.steps.values.map((v) => plot.tick(v)), step);
      read();
    },
    destroy() { clearTimeout(waiting); resized.disconnect(); view.destroy(); },
  };
});
