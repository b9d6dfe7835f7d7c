/* A document with both levels of its attention on it: a bar for each sentence, a tint for each word, the classes' shares,
   and beside the text what each part weighs against what its removal changes.

   Click a word or a sentence's bar (or Enter on it) and it is taken out: everything shows the run without it, which the
   server made for every part. Arrows walk through the parts, Escape puts everything back, hover says how a weight came
   about. The buttons choose what tints the words. The learner's text goes in as textContent alone.
   Data: charts/documents.py says what the header holds. Reports: stand, with variant and tint, and the epoch. */
export default (component) => gf.mount(component, (root, first) => {
  let spec = null, c = null, without = 0, tint = "", focus = 0, send = first, waiting = 0, hover = -1;
  const make = (tag, name, parent) => {
    const element = document.createElement(tag);
    element.className = name;
    if (parent) parent.append(element);
    return element;
  };
  const picks = plot.buttons((name) => { tint = name; paint(); tell(); });
  root.append(picks.element);
  const main = make("div", "main", root), left = make("div", "left", main), right = make("div", "right", main);
  const shares = make("div", "shares", left), legend = make("p", "legend", left), text = make("div", "text", left);
  const sum = make("p", "sum", left);
  sum.setAttribute("role", "status");
  text.setAttribute("role", "group");
  const tip = gf.tooltip(text);
  const scatter = gf.canvas(right, { label: "", draw: (ctx, w, h) => spec && dots(plot.onCanvas(ctx), w, h) });
  const tools = make("div", "tools", right);
  const whole = gf.button("Put everything back", () => show(0), { label: "Put everything back" });
  tools.append(whole, gf.button("SVG", saveSvg, { label: "Save this picture as SVG" }),
    gf.button("PNG", savePng, { label: "Save this picture as PNG" }));

  // Parts in the order of reading: a sentence, then its words. `variant` is 0 where it cannot be taken out.
  let parts = [];
  const p = (v, k) => spec.arrays.p[v * spec.classes.length + k];
  const alpha = (v, w) => spec.arrays.alpha[v * spec.arrays.alpha.shape[1] + w];
  const beta = (v, s) => spec.arrays.beta[v * spec.arrays.beta.shape[1] + s];
  const score = (part) => (part.word < 0 ? spec.arrays.sentenceScores[without * spec.arrays.beta.shape[1] + part.sentence]
    : spec.arrays.wordScores[without * spec.arrays.alpha.shape[1] + part.index]);
  const weight = (part, v = without) => (part.word < 0 ? beta(v, part.sentence) : alpha(v, part.index));
  const share = (part, v = without) => beta(v, part.sentence) * (part.word < 0 ? 1 : alpha(v, part.index));
  const label = () => spec.classes.reduce((best, _, k) => (p(0, k) > p(0, best) ? k : best), 0);   // what it says of the whole
  const effect = (part) => (part.variant ? p(0, label()) - p(part.variant, label()) : 0);
  const gone = (part) => without > 0 && (part.variant === without
    || (part.word >= 0 && parts.some((one) => one.variant === without && one.word < 0 && one.sentence === part.sentence)));
  const percent = (v) => `${(100 * v).toFixed(1)} %`;
  const signed = (v) => `${v < 0 ? "−" : "+"}${Math.abs(100 * v).toFixed(1)} points`;

  function build() {   // once a document
    parts = [];
    text.replaceChildren(...[tipBox()]);
    const at = new Map();
    for (let i = 0; i < spec.arrays.parts.length / 2; i++) {
      at.set(`${spec.arrays.parts[2 * i]}.${spec.arrays.parts[2 * i + 1]}`, i + 1);
    }
    let index = 0;
    spec.sentences.forEach((words, s) => {
      const row = make("div", "row", text), bar = make("button", "weight", row), line = make("p", "line", row);
      bar.type = "button";
      const fill = make("span", "fill", make("span", "track", bar)), number = make("span", "number", bar);
      add({ sentence: s, word: -1, index: -1, variant: at.get(`${s}.-1`) ?? 0, element: bar, fill, number });
      words.forEach((word, j) => {
        const span = make("span", word.known ? "word" : "word unknown", line);
        span.setAttribute("role", "button");
        span.textContent = word.text;
        line.append(word.after);
        add({ sentence: s, word: j, index: index++, variant: at.get(`${s}.${j}`) ?? 0, element: span, text: word.text,
          known: word.known });
      });
    });
    focus = Math.min(focus, parts.length - 1);
  }

  function tipBox() { return text.querySelector(".gf-tooltip") ?? document.createElement("div"); }

  function add(part) {
    const i = parts.push(part) - 1, { element } = part;
    element.tabIndex = -1;
    element.addEventListener("click", () => { focus = i; show(part.variant === without ? 0 : part.variant); });
    element.addEventListener("focus", () => { focus = i; if (hover < 0) say(part); });
    element.addEventListener("pointerenter", (event) => { if (event.pointerType !== "touch") look(i); });
    element.addEventListener("pointerleave", () => look(-1));
  }

  function look(i) {
    hover = i;
    scatter.redraw();
    if (i < 0) { tip.hide(); say(null); return; }
    const part = parts[i], box = part.element.getBoundingClientRect(), wrap = text.getBoundingClientRect();
    tip.show(box.left - wrap.left, box.bottom - wrap.top - 8, [{ text: called(part), strong: true }, ...arithmetic(part)]);
    say(part);
  }

  const called = (part) => (part.word < 0 ? `sentence ${part.sentence + 1}` : `“${part.text}”`);

  function arithmetic(part) {
    const lines = [], n = gf.number, a = weight(part);
    if (gone(part)) lines.push("taken out");
    else {
      const e = Math.exp(score(part)), symbol = part.word < 0 ? "β" : "α";
      lines.push(`${symbol} = e^${n(score(part))} / Σ = ${n(e)} / ${n(e / a)} = ${n(a)}`);
      if (part.word >= 0) lines.push(`α·β = ${n(a)} × ${n(beta(without, part.sentence))} = ${n(share(part))} of the document`);
    }
    if (part.word >= 0 && !part.known) lines.push("not in the vocabulary: read as “some word”");
    const k = label();
    lines.push(part.variant ? `without it: ${spec.classes[k]} ${percent(p(0, k))} → ${percent(p(part.variant, k))}`
      : "it is all there is: it cannot be taken out");
    return lines.map((line) => ({ text: line }));
  }

  function say(part) {
    const k = label(), removed = parts.find((one) => without && one.variant === without);
    if (part) sum.textContent = `${called(part)}: ${arithmetic(part).map((line) => line.text).join("; ")}`;
    else if (removed) {
      sum.textContent = `Without ${called(removed)} (${percent(share(removed, 0))} of the weight): ${spec.classes[k]} `
        + `${percent(p(0, k))} → ${percent(p(without, k))}, ${signed(p(without, k) - p(0, k))}`;
    } else sum.textContent = `${spec.classes[k]} ${percent(p(0, k))}. Click a word or a sentence’s bar to take it out.`;
  }

  function show(variant) {
    without = variant;
    paint();
    say(null);
    tell();
  }

  function tell() {
    clearTimeout(waiting);
    waiting = setTimeout(() => send.setStateValue("stand", { epoch: spec.epoch, without, tint }), 250);
  }

  function tinted(part) {
    if (gone(part)) return c.background;
    const words = parts.filter((one) => one.word >= 0);
    if (tint === spec.tint.values[2]) {
      const most = Math.max(...words.map((one) => Math.abs(effect(one)))) || 1;
      return spec.signed(effect(part) / most / 2 + 0.5);
    }
    const of = tint === spec.tint.values[0] ? weight : share, most = Math.max(...words.map((one) => of(one))) || 1;
    return spec.map(of(part) / most);
  }

  function paint() {
    for (const part of parts) {
      const out = gone(part), { element } = part;
      element.setAttribute("aria-pressed", String(out));
      element.setAttribute("aria-disabled", String(!part.variant));
      element.tabIndex = part === parts[focus] ? 0 : -1;
      if (part.word < 0) {
        const most = Math.max(...parts.filter((one) => one.word < 0).map((one) => weight(one))) || 1;
        part.fill.style.width = `${100 * weight(part) / most}%`;
        part.number.textContent = out ? "out" : weight(part).toFixed(3);
        element.setAttribute("aria-label", `sentence ${part.sentence + 1}, weight ${gf.number(weight(part), 2)}`);
        element.parentElement.classList.toggle("out", out);
      } else {
        const fill = tinted(part);
        element.style.background = out ? "transparent" : fill;
        element.style.color = out ? c.muted : plot.readable(c, fill);
        element.classList.toggle("out", out);
      }
    }
    const name = spec.classes[label()];
    legend.textContent = [
      "Darker: more of its sentence’s weight, which is 1 in all.", "Darker: more of the document’s weight, α·β.",
      `Rust: “${name}” loses when the word goes. Blue: it gains.`,
    ][spec.tint.values.indexOf(tint)] + (spec.sentences.flat().some((word) => !word.known) ? " Dotted: no word of its vocabulary." : "");
    fillShares();
    scatter.redraw();
    whole.disabled = !without;
  }

  function fillShares() {
    shares.replaceChildren(...spec.classes.map((name, k) => {
      const row = make("div", "share"), title = make("span", "name", row), bar = make("span", "track", row);
      const fill = make("span", "fill", bar), mark = make("span", "mark", bar), value = make("span", "value", row);
      title.textContent = name;
      if (name === spec.truth) make("span", "truth", title).textContent = "what it is";
      fill.style.width = `${100 * p(without, k)}%`;
      mark.style.left = `${100 * p(0, k)}%`;
      mark.hidden = !without;
      value.textContent = percent(p(without, k));
      if (spec.classes.every((_, j) => p(without, k) >= p(without, j))) row.classList.add("first");
      return row;
    }));
  }

  // Two scatters, sentences and words: the weight of each part against what its removal changes.
  function boxes(w, h) {
    const each = (h - 34 - 62 - 40) / 2;
    return [0, 1].map((i) => ({ x: 54, y: 34 + i * (each + 62), w: w - 68, h: each }));
  }

  function points(words) { return parts.filter((part) => (part.word >= 0) === words && part.variant); }

  function dots(surface, w, h) {
    boxes(w, h).forEach((box, i) => {
      const found = points(i === 1), rho = spec.rho[i];
      const top = Math.max(...found.map((part) => share(part, 0)), 1e-3), most = Math.max(...found.map((part) => Math.abs(effect(part))), 1e-3);
      const x = plot.scale(0, top * 1.05, box.x, box.x + box.w), y = plot.scale(-most * 1.1, most * 1.1, box.y + box.h, box.y);
      surface.text(2, box.y - 12, `${i ? "Words" : "Sentences"}${rho === null ? "" : `: ρ = ${gf.number(rho, 2)}`}`,
        { fill: c.ink, family: plot.SANS, size: 15, weight: 600 });
      for (const value of plot.ticks(-most, most, 4)) {
        surface.line([[box.x, y(value)], [box.x + box.w, y(value)]], { stroke: Math.abs(value) < 1e-9 ? c.muted : c.line });
        surface.text(box.x - 6, y(value) + 4, plot.tick(value, true), { fill: c.muted, anchor: "end", size: 12 });
      }
      for (const value of plot.ticks(0, top, 3)) surface.text(x(value), box.y + box.h + 15, plot.tick(value), { fill: c.muted, anchor: "middle", size: 12 });
      for (const part of found) {
        const lit = parts[hover] === part || (without && part.variant === without);
        surface.circle(x(share(part, 0)), y(effect(part)), lit ? 7 : i ? 3.5 : 5,
          { fill: lit ? c.ink : c.attention, opacity: lit ? 1 : 0.65, stroke: c.background, lineWidth: 1 });
      }
      if (i) surface.text(box.x + box.w / 2, box.y + box.h + 34, "weight in the document", { fill: c.ink, anchor: "middle", family: plot.SANS, size: 14 });
    });
    surface.text(w - 4, 22, `↑ what “${spec.classes[label()]}” loses without it`, { fill: c.muted, anchor: "end", family: plot.SANS, size: 13 });
  }

  scatter.canvas.addEventListener("pointermove", (event) => {
    if (!spec) return;
    const rect = scatter.canvas.getBoundingClientRect();
    look(nearest(event.clientX - rect.left, event.clientY - rect.top, rect));
  });
  scatter.canvas.addEventListener("pointerleave", () => { if (spec) look(-1); });
  scatter.canvas.addEventListener("click", () => {
    if (hover >= 0) { focus = hover; show(parts[hover].variant === without ? 0 : parts[hover].variant); }
  });

  function nearest(px, py, { width, height }) {
    let best = -1, least = 14;
    boxes(width, height).forEach((box, i) => {
      const found = points(i === 1), top = Math.max(...found.map((part) => share(part, 0)), 1e-3);
      const most = Math.max(...found.map((part) => Math.abs(effect(part))), 1e-3);
      const x = plot.scale(0, top * 1.05, box.x, box.x + box.w), y = plot.scale(-most * 1.1, most * 1.1, box.y + box.h, box.y);
      for (const part of found) {
        const away = Math.hypot(x(share(part, 0)) - px, y(effect(part)) - py);
        if (away < least) { least = away; best = parts.indexOf(part); }
      }
    });
    return best;
  }

  function walk(to) {
    focus = Math.max(0, Math.min(parts.length - 1, to));
    parts.forEach((part, i) => { part.element.tabIndex = i === focus ? 0 : -1; });
    parts[focus].element.focus();
  }
  const sentence = (by) => () => {
    const now = parts[focus], wanted = now.sentence + by;
    const found = parts.findIndex((part) => part.sentence === wanted && part.word === (now.word < 0 ? -1 : 0));
    if (found >= 0) walk(found);
  };
  const toggle = () => { const part = parts[focus]; if (part.variant) show(part.variant === without ? 0 : part.variant); say(part); };
  gf.keys(text, { ArrowRight: () => walk(focus + 1), ArrowLeft: () => walk(focus - 1), ArrowDown: sentence(1), ArrowUp: sentence(-1),
    Home: () => walk(0), End: () => walk(parts.length - 1), Enter: toggle, " ": toggle, Escape: () => show(0) });

  // The picture as vectors: what stands where on the screen, drawn again.
  function drawn(surface) {
    const origin = left.getBoundingClientRect(), style = (element) => getComputedStyle(element);
    const box = (element) => {
      const r = element.getBoundingClientRect();
      return { x: r.left - origin.left + 12, y: r.top - origin.top + 12, w: r.width, h: r.height };
    };
    for (const row of shares.children) {
      const [title, track, value] = row.children, t = box(track), fill = box(track.firstChild);
      surface.text(box(title).x, t.y + 15, title.firstChild.textContent, { fill: c.ink, family: plot.SANS, size: 15 });
      surface.rect(t.x, t.y, t.w, t.h, { fill: c.panel });
      surface.rect(fill.x, fill.y, fill.w, fill.h, { fill: c.output });
      surface.text(box(value).x, t.y + 15, value.textContent, { fill: c.ink, size: 14 });
    }
    for (const part of parts) {
      if (part.word < 0) {
        const f = box(part.fill), n = box(part.number);
        surface.rect(f.x, f.y, f.w, f.h, { fill: c.attention });
        surface.text(n.x, n.y + n.h - 5, part.number.textContent, { fill: c.ink, size: 13 });
      } else {
        const b = box(part.element);
        surface.rect(b.x, b.y, b.w, b.h, { fill: gone(part) ? c.background : tinted(part), radius: 3 });
        surface.text(b.x + 3, b.y + b.h - 7, part.text, { fill: style(part.element).color, family: plot.SANS, size: 18 });
      }
    }
  }

  function saveSvg() {
    const { width, height } = left.getBoundingClientRect(), svg = gf.svg(width + 24, height + 24, c.background);
    drawn(plot.onSvg(svg));
    svg.save("hierarchical-attention.svg");
  }

  function savePng() {
    const { width, height } = left.getBoundingClientRect(), canvas = document.createElement("canvas");
    canvas.width = 2 * (width + 24);
    canvas.height = 2 * (height + 24);
    const ctx = canvas.getContext("2d");
    ctx.scale(2, 2);
    drawn(plot.onCanvas(ctx));
    root.append(canvas);   // where the colours can be read
    gf.savePng(canvas, "hierarchical-attention.png");
    canvas.remove();
  }

  return {
    update(component) {
      send = component;
      const before = spec;
      spec = gf.unpack(component.data);
      c = gf.colours(root);
      spec.map = gf.sequential(root, "attention");
      spec.signed = gf.diverging(root);
      const kept = before && before.epoch === spec.epoch;
      if (!kept) clearTimeout(waiting);
      const words = JSON.stringify(spec.sentences), same = before && JSON.stringify(before.sentences) === words;
      if (!kept || !same) without = spec.without;
      tint = kept && spec.tint.values.includes(tint) ? tint : spec.tint.at;
      picks.set(spec.tint.label, spec.tint.values, tint);
      hover = -1;
      tip.hide();
      if (!same) { focus = 0; build(); }
      text.setAttribute("aria-label", "The document, sentence by sentence. Arrows walk through its parts, Enter takes one out.");
      scatter.canvas.setAttribute("aria-label", "Weight of each part against what its removal changes: "
        + `rank correlation ${spec.rho.map((r) => (r === null ? "undefined" : gf.number(r, 2))).join(" for sentences, ")} for words`);
      scatter.canvas.tabIndex = -1;
      paint();
      say(null);
    },
    destroy() { clearTimeout(waiting); scatter.destroy(); },
  };
});
