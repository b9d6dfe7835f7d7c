/* What a decoder looks at while it writes: words above, words below, links between them, and the map token by token.

   Play, Back, Step and Reset go through the tokens in the order of writing; a slider chooses layer and head. Hover a cell
   of the map, or move to it with the arrows, for its arithmetic: the scaled product of its query and key, and the share of
   the row's softmax. Space plays and pauses, Page Down and Page Up step, Home and Escape reset, End writes all. Links that cross are counted and ringed.
   Data: charts/alignment.py says what the header holds. Reports: stand, with head, step and the pinned cell where the
   learner left them, and the epoch of the message they answer to. */
export default (component) => gf.mount(component, (root, first) => {
  const BEAT = 900, TERMS = 4;
  let spec = null, look = 0, step = 0, pinned = null, hover = null, send = first, waiting = 0, map = null;

  const make = (tag, name) => Object.assign(document.createElement(tag), { className: name });
  const heads = plot.scrubber("", (i) => { look = i; read(); tell(); });
  const bar = make("div", "bar"), said = make("p", "said"), under = make("div", "under");
  const film = player.make({ now: () => step, last: () => last(), go: (to) => go(to), clear: () => { pinned = hover = null; },
    beat: () => BEAT, what: "Play the writing token by token" });
  bar.append(film.element, heads.element);
  said.setAttribute("aria-live", "polite");
  root.append(bar, said);
  const view = gf.canvas(root, { label: "", draw: (ctx, w, h) => draw(ctx, w, h) });
  const { sum, tools } = plot.foot(view, () => spec.name, saveSvg);
  under.append(sum, tools);
  root.append(under);

  const value = (name, ...at) => {
    const a = spec.arrays[name];
    return a[at.reduce((index, i, axis) => index * a.shape[axis] + i, 0)];
  };

  const app = {
    c: null,
    get spec() { return spec; },
    step: () => step,
    title: () => `Cross-attention A, ${spec.heads.values[look]}`,
    weight: (i, j) => value("weights", look, i, j),
    wordWeight: (i, j) => value("words", look, i, j),
    links: () => spec.targetWords.map(({ end }, i) => (end <= step + 1 ? value("links", look, i) : -1)),
    crossings(links) {   // pairs of written words whose sources stand the other way round
      const real = links.flatMap((j, i) => (j >= 0 ? [i] : []));
      return real.flatMap((i, n) => real.slice(n + 1).filter((k) => links[i] > links[k]).map((k) => [i, k]));
    },
    best(i) {
      let found = 0;
      spec.source.forEach((_, j) => { if (app.weight(i, j) > app.weight(i, found)) found = j; });
      return found;
    },
    wordOf: (words, i) => words.findIndex(({ begin, end }) => begin <= i && i < end),
    fill: (share) => map(share),
    readable: (fill) => plot.readable(app.c, fill),
    focus: () => [hover, pinned].find((cell) => cell && cell.row <= step) ?? null,
  };

  function draw(ctx, w, h) {
    if (!spec) return;
    const found = lay.of(app, w);
    if (Math.abs(h - found.height) > 0.5) { view.canvas.style.height = `${found.height}px`; return; }   // and it is drawn again
    art.draw(surface.onCanvas(ctx), app, found);
  }

  const last = () => spec.target.length - 1;
  function go(to) {
    step = Math.max(0, Math.min(last(), to));
    read();
    tell();
  }

  function tell() {
    clearTimeout(waiting);
    waiting = setTimeout(() => send.setStateValue("stand", { epoch: spec.epoch, head: spec.heads.values[look], step,
      at: pinned ? [pinned.row, pinned.col] : null }), 250);
  }

  const factor = (x) => (x < 0 ? `(${gf.number(x)})` : gf.number(x));
  function arithmetic({ row, col }) {
    const name = `A[${spec.target[row]}, ${spec.source[col]}] = ${gf.number(app.weight(row, col))}`, which = spec.of[look];
    if (spec.hidden.includes(col)) return [name, `“${spec.source[col]}” is hidden from the decoder: −∞ before the softmax, weight 0`];
    if (which < 0) {
      const each = spec.of.flatMap((of, i) => (of >= 0 && spec.layers[i] === spec.layers[look] ? [value("weights", i, row, col)] : []));
      return [name, `= the mean of ${each.length} heads: (${each.map((a) => gf.number(a, 2)).join(" + ")}) / ${each.length}`];
    }
    const width = spec.arrays.Q.shape[2];
    const terms = Array.from({ length: width }, (_, k) => [value("Q", which, row, k), value("K", which, col, k)]);
    const order = [...terms.keys()].sort((a, b) => Math.abs(terms[b][0] * terms[b][1]) - Math.abs(terms[a][0] * terms[a][1]));
    const rest = order.slice(TERMS).reduce((all, k) => all + terms[k][0] * terms[k][1], 0);
    const written = order.slice(0, TERMS).map((k) => `${factor(terms[k][0])}·${factor(terms[k][1])}`);
    const S = spec.source.map((_, j) => value("scores", which, row, j)), open = S.filter(Number.isFinite), most = Math.max(...open);
    const all = open.reduce((total, x) => total + Math.exp(x - most), 0), mine = Math.exp(S[col] - most);
    return [name, `S = q·k / √${width} = (${written.join(" + ")} + ${factor(rest)} from ${width - TERMS} more) / ${gf.number(Math.sqrt(width))} = ${gf.number(S[col])}`,
      `A = e^(S − ${factor(most)}) / Σ over the row = ${gf.number(mine)} / ${gf.number(all)} = ${gf.number(mine / all)}`];
  }

  function read() {
    const cell = app.focus(), strong = document.createElement("b");
    if (cell) {
      const [title, ...lines] = arithmetic(cell);
      strong.textContent = title;
      sum.replaceChildren(strong, ...lines.map((line) => `\n${line}`));
    } else sum.textContent = "Hover or tap a cell of the map for its arithmetic; the arrow keys move it.";
    const links = app.links(), crossed = app.crossings(links).length, best = app.best(step);
    const counted = `${crossed} crossing${crossed === 1 ? "" : "s"}`;
    const sentence = step === last()
      ? `Written: “${spec.written}” ${links.filter((j) => j >= 0).length} words have a link, with ${counted}.`
      : `“${spec.target[step]}” is written, p = ${gf.number(spec.probabilities[step])}. Its query was made from `
        + `“${spec.before[step]}” before it; it reads “${spec.source[best]}” most (${gf.number(app.weight(step, best))}). `
        + `${counted} so far.`;
    if (said.textContent !== sentence) said.textContent = sentence;
    film.read();
    view.redraw();
  }

  function at(event) {
    const rect = view.canvas.getBoundingClientRect();
    const cell = lay.at(lay.of(app, rect.width), event.clientX - rect.left, event.clientY - rect.top);
    return cell && cell.row <= step ? cell : null;
  }

  view.canvas.addEventListener("pointermove", (event) => {
    if (!spec || event.pointerType === "touch") return;
    const cell = at(event);
    if (cell ? hover && cell.row === hover.row && cell.col === hover.col : !hover) return;
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

  function move(down, right) {
    const from = app.focus(), inside = (i, most) => Math.max(0, Math.min(most, i));
    hover = null;
    pinned = from ? { row: inside(from.row + down, step), col: inside(from.col + right, spec.source.length - 1) } : { row: 0, col: 0 };
    read();
    tell();
  }

  gf.keys(view.canvas, { ArrowLeft: () => move(0, -1), ArrowRight: () => move(0, 1), ArrowUp: () => move(-1, 0),
    ArrowDown: () => move(1, 0), PageUp: () => film.take(-1), PageDown: () => film.take(1),
    End: () => { film.stop(); go(last()); }, Home: film.restart, Escape: film.restart, " ": film.toggle });

  function saveSvg() {
    const { width } = view.size(), found = lay.of(app, width), svg = gf.svg(width, found.height, app.c.background);
    art.draw(surface.onSvg(svg), app, found);
    svg.save(`${spec.name}.svg`);
  }

  return {
    update(component) {
      send = component;
      const before = spec, held = before ? before.heads.values[look] : null;
      spec = gf.unpack(component.data);
      app.c = gf.colours(root);
      map = gf.sequential(root, "attention");
      const kept = before && before.epoch === spec.epoch;   // then head, step and cell are the learner's
      if (!kept) { clearTimeout(waiting); film.stop(); }
      const at = kept ? spec.heads.values.indexOf(held) : -1;
      look = at >= 0 ? at : spec.heads.values.indexOf(spec.heads.at);
      step = Math.min(kept ? step : spec.step, last());
      if (!kept) pinned = spec.at ? { row: spec.at[0], col: spec.at[1] } : null;
      if (pinned && (pinned.row > last() || pinned.col >= spec.source.length)) pinned = null;
      hover = null;
      heads.element.firstChild.textContent = spec.heads.label;
      heads.set(spec.heads.values, look);
      view.canvas.setAttribute("aria-label", spec.label);
      read();
    },
    destroy() { clearTimeout(waiting); film.stop(); view.destroy(); },
  };
});
