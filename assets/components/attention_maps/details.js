/* What the token in hand reads, who reads it, and which coordinates of q and k make the score.

   details(app, root) -> {update(), destroy()} */
const details = (app, root) => {
  const make = (tag, className, text) => {
    const element = document.createElement(tag);
    if (className) element.className = className;
    if (text) element.textContent = text;
    return element;
  };
  const head = make("div", "am-token");
  const reads = list("reads"), readers = list("readers");
  const why = make("section", "am-why"), whyTitle = make("h2"), sums = make("div", "am-sums");
  const bars = gf.canvas(why, { label: "", draw: drawBars });
  const tip = gf.tooltip(bars.wrap), note = make("p", "am-note");
  why.prepend(whyTitle, sums);
  why.append(note);
  const hint = make("p", "am-hint");
  root.append(head, hint, reads.section, readers.section, why);
  let ranked = [], marked = -1;

  function list(kind) {
    const section = make("section", "am-list"), title = make("h2"), rows = make("div");
    section.dataset.list = kind;
    section.append(title, rows);
    return { section, title, rows };
  }

  function update() {
    const { view, hover, matrix: now } = app, focus = view.pin ?? hover;
    hint.hidden = focus !== null;
    for (const { section } of [reads, readers]) section.hidden = !focus || !now;
    head.hidden = !focus;
    hint.textContent = "Point at a token to see what it reads; click to hold it. With the keyboard: arrows.";
    if (!focus) { why.hidden = true; return; }
    const token = focus.q ?? focus.k;
    head.replaceChildren(chip(token), make("span", "am-muted", `token ${token}`));
    const letGo = () => app.set({ pin: null });
    if (view.pin) head.append(gf.button("Let go", letGo, { label: "Let go of the pinned pair (Escape)" }));
    if (now) {
      fill(reads, token, "reads", matrix.row(now.values, app.data.n, token), (k) => ({ q: token, k }));
      fill(readers, token, "is read by", matrix.column(now.values, app.data.n, token), (q) => ({ q, k: token }));
    }
    explain(focus);
  }

  function chip(i) {
    const element = gf.chip(app.data.tokens[i]);
    element.title = `token ${i}`;
    return element;
  }

  function fill({ title, rows }, token, verb, values, pair) {
    const { mask } = app.data.arrays, n = app.data.n, { most } = app.matrix, held = app.view.pin;
    const seen = values.map((value, i) => ({ i, value, pair: pair(i) })).filter((x) => mask[x.pair.q * n + x.pair.k]);
    seen.sort((a, b) => b.value - a.value);
    const shown = seen.slice(0, app.narrow ? 5 : 6), rest = seen.slice(shown.length);
    const total = seen.reduce((sum, x) => sum + x.value, 0);
    title.replaceChildren(make("b", verb === "reads" ? "am-q" : "am-k", app.shown[token]), ` ${verb}`,
      make("span", "am-muted", ` ${seen.length} token${seen.length === 1 ? "" : "s"}, Σ ${gf.number(total)}`));
    rows.replaceChildren(...shown.map((x) => {
      const row = make("button", "am-row"), bar = make("span", "am-bar"), length = make("i");
      row.type = "button";
      row.setAttribute("aria-label", `${app.shown[token]} ${verb} ${app.shown[x.i]}: ${gf.number(x.value)}`);
      row.setAttribute("aria-pressed", String(held !== null && held.q === x.pair.q && held.k === x.pair.k));
      length.style.width = `${100 * Math.min(1, x.value / most)}%`;
      bar.append(length);
      row.append(make("span", "am-name", app.shown[x.i]), bar, make("span", "am-value", short(x.value)));
      row.addEventListener("click", () => app.set({ pin: x.pair }));
      row.addEventListener("pointerenter", () => { if (app.view.pin) app.point(x.pair, true); });
      row.addEventListener("pointerleave", () => app.point(null, true));
      return row;
    }));
    if (rest.length) {
      const others = rest.reduce((sum, x) => sum + x.value, 0);
      rows.append(make("div", "am-rest", `${rest.length} more: ${short(others)}`));
    }
  }

  function short(value) {   // three decimals line up in a list; larger numbers have three digits
    if (value === 0 || value >= 0.0995) return gf.number(value);
    return value >= 0.0005 ? value.toFixed(3) : "<0.001";
  }

  function explain({ q, k }) {
    const pair = q !== undefined && k !== undefined && app.data.arrays.mask[q * app.data.n + k];
    why.hidden = !pair || !app.data.factor;
    if (why.hidden) return;
    const one = app.view.scope === "head", found = one ? matrix.score(app, q, k) : null;
    bars.wrap.hidden = sums.hidden = !found;
    note.textContent = !one ? "A map over several heads has no q·k of its own: choose one head for its arithmetic."
      : found ? "" : "The vectors of this layer are on their way…";
    whyTitle.replaceChildren("q·k by coordinate: ", make("b", "am-q", app.shown[q]), " → ", make("b", "am-k", app.shown[k]));
    if (!found) return;
    const steps = [matrix.sumOf(found, q, k, app.data), matrix.softmaxOf(found, q, k)];
    sums.replaceChildren(...steps.map((text) => make("div", "", text)));
    ranked = [...found.pairs].sort((a, b) => b.term - a.term);
    const plus = ranked.filter((p) => p.term > 0), gain = plus.reduce((sum, p) => sum + p.term, 0);
    let half = 0, count = 0;
    while (count < plus.length && half < gain / 2) half += plus[count++].term;
    const most = plus.slice(0, Math.min(count, 4)).map((p) => p.d).join(", ") + (count > 4 ? ", …" : ".");
    note.textContent = plus.length ? `${plus.length} of ${ranked.length} coordinates speak for this pair; `
      + `half of their sum comes from ${count}: ${most}` : "";
    const largest = ranked.slice(0, 3).map((p) => `coordinate ${p.d} ${gf.number(p.term)}`).join(", ");
    bars.canvas.setAttribute("aria-label", `Bars: what each of ${ranked.length} coordinates adds to S[${q},${k}] = `
      + `${gf.number(found.S)}, largest first: ${largest}. Left and right arrows read them one by one.`);
    bars.redraw();
  }

  function drawBars(ctx, width, height) {
    if (!ranked.length) return;
    const { colours: c } = app, largest = Math.max(...ranked.map((p) => Math.abs(p.term))) || 1;
    const top = Math.max(0, ranked[0].term) / largest, bottom = Math.max(0, -ranked.at(-1).term) / largest;
    const scale = (height - 8) / (top + bottom || 1), zero = 4 + top * scale, step = width / ranked.length;
    ranked.forEach(({ term }, i) => {
      const tall = Math.abs(term) / largest * scale;
      ctx.fillStyle = term >= 0 ? c.positive : c.negative;
      ctx.globalAlpha = marked < 0 || marked === i ? 1 : 0.45;
      ctx.fillRect(i * step + 0.5, term >= 0 ? zero - tall : zero, Math.max(1, step - 1), tall);
    });
    ctx.globalAlpha = 1;
    ctx.fillStyle = c.muted;
    ctx.fillRect(0, zero - 0.5, width, 1);
  }

  function mark(i) {
    marked = i;
    bars.redraw();
    if (i < 0 || !ranked[i]) { tip.hide(); return; }
    const p = ranked[i], factor = app.data.divisor ? ` ${app.data.divisor}` : "";
    tip.show((i + 0.5) * bars.size().width / ranked.length, 6, [{ text: `coordinate ${p.d}`, strong: true },
      `q ${gf.number(p.q)} · k ${gf.number(p.k)}${factor} = ${gf.number(p.term)}`]);
  }
  bars.canvas.addEventListener("pointermove", (event) =>
    mark(Math.max(0, Math.min(ranked.length - 1, Math.floor(event.offsetX / bars.size().width * ranked.length)))));
  bars.canvas.addEventListener("pointerleave", () => mark(-1));
  bars.canvas.addEventListener("blur", () => mark(-1));
  gf.keys(bars.canvas, {
    ArrowRight: () => mark(Math.min(ranked.length - 1, marked + 1)), ArrowLeft: () => mark(Math.max(0, marked - 1)),
  });

  return { update, destroy: bars.destroy };
};
