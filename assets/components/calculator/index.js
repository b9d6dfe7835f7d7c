/* What a pass costs: parameters, bytes held, bytes moved, FLOPs and seconds as aligned bars of shares by part. Length, batch,
   precisions and what is done move among what the server computed (charts/calculator.py); a typed length or batch that is
   not among it is asked for. Hover or arrow keys light a part, a click pins it: its numbers stand at the side, put into
   their formulas. Reports: stand, {epoch, doing, n, batch, weights, cache, part}. */
export default (component) => gf.mount(component, (root, first) => {
  let d = null, c = null, send = first, waiting = 0, hover = null, pieces = [], epoch = null, asked = {};   // asked: what was typed and is not here yet
  const at = { doing: "", n: 0, batch: 1, weights: "", cache: "", part: "" };
  const controls = div("controls"), stage = div("stage"), left = div("left"), side = div("side"), note = div("note");
  const doing = plot.buttons((name) => { at.doing = name; settle(); tell(); }), length = counter("n", "n"), batch = counter("batch", "batch");
  const weights = plot.buttons((name) => { at.weights = name; settle(); tell(); });
  const cache = plot.buttons((name) => { at.cache = name; settle(); tell(); });
  doing.element.classList.add("wide");
  controls.append(doing.element, length.element, batch.element, weights.element, cache.element);
  stage.append(left, side);
  root.append(controls, stage);
  const canvas = gf.canvas(left, { label: "", draw: (ctx, w) => d && draw(plot.onCanvas(ctx), w) });
  const { sum, tools } = plot.foot(canvas, () => "cost", () => plot.saveSvg("cost.svg", canvas.size(), c.background, (p, w) => draw(p, w)));
  const scroll = div("scroll"), table = document.createElement("table");
  scroll.append(table);
  scroll.tabIndex = 0;   // a narrow screen scrolls it sideways, by keys too
  scroll.setAttribute("role", "region");
  scroll.setAttribute("aria-label", "The same numbers as a table");
  const last = div("last");
  last.append(note, tools);
  left.append(sum, last);
  root.append(scroll);

  function div(name) { return Object.assign(document.createElement("div"), { className: name }); }
  function tag(name, text, of = "") { return Object.assign(document.createElement(name), { textContent: text, className: of }); }

  function counter(key, label) {   // a slider over what is here, and a box for any other whole number
    const slider = plot.scrubber(label, (i) => { at[key] = choices()[i]; delete asked[key]; box.value = at[key]; settle(); tell(); });
    const box = Object.assign(document.createElement("input"), { type: "number", min: 1, step: 1 });
    const choices = () => (key === "n" ? d.lengths : d.batches);
    box.addEventListener("change", () => {
      const most = key === "n" ? d.longest : d.most, value = Math.min(most, Math.max(1, Math.round(Number(box.value)) || at[key]));
      box.value = value;
      delete asked[key];
      if (choices().includes(value)) { at[key] = value; settle(); } else asked[key] = value;
      tell(0);
    });
    slider.element.append(box);
    return { element: slider.element, set(title) {
      slider.element.firstChild.textContent = title;
      box.setAttribute("aria-label", `${title}, any whole number`);
      box.max = key === "n" ? d.longest : d.most;
      slider.set(choices().map(calculator.grouped), Math.max(0, choices().indexOf(at[key])));
      if (root.getRootNode().activeElement !== box) box.value = at[key];
    } };
  }

  // ---- numbers, as they came ----

  const index = () => d.done.findIndex(({ name }) => name === at.doing);
  function value(name, p) {
    const array = d.arrays[`${name}.${index()}.${p}`];
    if (!array) return 0;
    const where = [Object.keys(d.bits).indexOf(at.weights), Object.keys(d.bits).indexOf(at.cache), d.batches.indexOf(at.batch),
      d.lengths.indexOf(at.n)];
    return array[where.reduce((flat, i, axis) => flat * array.shape[axis] + (array.shape[axis] > 1 ? i : 0), 0)];
  }
  const moved = (p) => value("weights", p) + value("cache", p) + value("passing", p);
  const each = (f) => d.parts.map((_, p) => f(p));
  const total = (values) => values.reduce((a, b) => a + b, 0);
  function rows() {
    const made = [["parameters", d.parameters, calculator.si], ["bytes held", each((p) => value("held", p)), calculator.bytes],
      ["bytes moved", each(moved), calculator.bytes], ["FLOPs", each((p) => value("flops", p)), calculator.si],
      ["least time", each((p) => value("seconds", p)), calculator.time]];
    return made.map(([label, values, say], r) => ({ label, values, say, total: total(values), said: say(total(values)),
      by: r === 4 ? each((p) => value("bound", p)) : null }));
  }
  const wide = (w) => w >= 620;
  const seen = () => { const k = hover ?? d.parts.findIndex(({ key }) => key === at.part); return k < 0 ? null : k; };
  const shown = () => seen() ?? largest();
  function largest() { const s = each((p) => value("seconds", p)); return s.indexOf(Math.max(...s)); }

  // ---- what is shown ----

  function settle() {
    const { name, flops } = d.machine, now = d.done[index()];
    doing.set("Do", d.done.map((one) => one.name), at.doing);
    length.set(d.longest ? "n, tokens" : "n, patches");
    batch.set(`batch, ${d.unit}s`);
    weights.set("Weights", Object.keys(d.bits), at.weights);
    cache.set("Cache", Object.keys(d.bits), at.cache);
    cache.element.hidden = !now.caches;
    length.element.querySelector("input[type=range]").disabled = !d.longest;
    length.element.querySelector("input[type=number]").disabled = !d.longest;
    const all = rows(), time = all[4].total, work = all[3].total, bytes = all[2].total, ridge = flops / d.machine.bandwidth;
    const asked = each((p) => p).filter((p) => moved(p) > 0), waiting_ = asked.filter((p) => value("bound", p)).length;
    const tokens = /^write/.test(at.doing) ? at.batch : at.batch * at.n, made = d.longest ? "tokens" : "patches";
    sum.textContent = `${d.title}, ${at.doing}: at least ${calculator.time(time)} on ${name}, ${calculator.si(tokens / time)} ${made} a second at most${fits(all[1].total)}. `
      + `${calculator.three(work / bytes)} FLOPs a byte where the ridge, peak ÷ bandwidth, is ${calculator.three(ridge)}: `
      + `${calculator.percent(work / time / flops)} of the peak, ${waiting_} of ${asked.length} parts wait for memory.`;
    const beyond = d.context && d.longest && at.n > d.context ? `It was made for ${calculator.grouped(d.context)} tokens. ` : "";
    note.textContent = `Hatched time waits for memory, plain time for arithmetic. ${beyond}${now.note}`;
    beside(all);
    below(all);
    canvas.canvas.style.height = `${calculator.height(5, wide(canvas.size().width || 900))}px`;
    canvas.canvas.setAttribute("aria-label", `Costs by part as bars of shares; arrow keys walk through the parts. ${sum.textContent}`);
    canvas.redraw();
  }

  function fits(held) {
    const room = d.machine.memory, say = calculator.bytes;
    if (!room) return "";
    return held <= room ? `, holding ${say(held)} of ${say(room)}` : `, if it fitted: ${say(held)} are more than ${say(room)}`;
  }

  function draw(p, w) {
    canvas.canvas.style.height = `${calculator.height(5, wide(w))}px`;
    pieces = calculator.bars(p, c, rows(), d.parts, { w, wide: wide(w) }, seen());
  }

  function swatch(part) {
    const mark = document.createElement("i");
    mark.style.background = `color-mix(in srgb, var(--gf-${part.role}) ${100 * part.full}%, var(--gf-background))`;
    mark.style.borderColor = `var(--gf-${part.role})`;
    return mark;
  }

  function beside(all) {   // one part's formulas, its numbers put in
    const k = shown(), part = d.parts[k], head = tag("p", "", "head"), list = document.createElement("dl"), { flops, bandwidth } = d.machine;
    head.append(swatch(part), part.label);
    const line = (name, sum_, result) => {
      const dd = tag("dd", sum_ ? `${sum_} = ` : "");
      dd.append(tag("b", result));
      dd.style.setProperty("color", `color-mix(in srgb, var(--gf-${part.role}) 65%, var(--gf-ink))`);
      list.append(tag("dt", name), dd);
    };
    const [own, held, , work, time] = all.map(({ values }) => values[k]);
    if (own) line("parameters", "", calculator.grouped(own));
    if (held) line("bytes held", own ? `${calculator.si(own)} · ${calculator.three(8 * held / own)} bits` : kept(part.key, held), calculator.bytes(held));
    const sorts = [["weights", "weights"], ["cache", "keys, values"], ["passing", "passing"]].map(([name, says]) => [says, value(name, k)])
      .filter(([, bytes]) => bytes);
    if (sorts.length) line("bytes moved", sorts.map(([says, bytes]) => `${says} ${calculator.bytes(bytes)}`).join(" + "), calculator.bytes(moved(k)));
    if (work) line("FLOPs", products(part.key), calculator.si(work));
    if (time) {
      line("least time", `max(${calculator.si(work)} ÷ ${calculator.si(flops)}/s, ${calculator.bytes(moved(k))} ÷ ${calculator.bytes(bandwidth)}/s) = `
        + `max(${calculator.time(work / flops)}, ${calculator.time(moved(k) / bandwidth)})`, calculator.time(time));
      line("intensity", `${calculator.si(work)} ÷ ${calculator.bytes(moved(k))}`, `${calculator.three(work / moved(k))} FLOPs a byte: `
        + `${value("bound", k) ? "memory" : "arithmetic"} is the bound`);
    }
    side.replaceChildren(head, list);
    const says = d.done[index()].words[part.key];
    if (says) side.append(tag("p", says, "says"));
  }

  function kept(key, held) {   // tokens · what each adds · texts · bits
    if (!["keys", "values"].includes(key) || !d.cached.length) return "";
    const bits = d.bits[at.cache], tokens = 8 * held / bits / at.batch / d.cached.reduce((a, b) => a * b, 1);
    return `${[Math.round(tokens), ...d.cached, at.batch].map(calculator.grouped).join(" · ")} · ${bits} bits`;
  }

  function products(key) {
    const now = d.done[index()], sizes = d.arrays[`products.${index()}`], many = now.products.length, i = d.lengths.indexOf(at.n);
    const texts = at.batch > 1 ? ` · ${calculator.grouped(at.batch)}` : "";
    return now.products.map((part, j) => [part, Array.from(sizes.slice(4 * (i * many + j), 4 * (i * many + j + 1)))])
      .map(([part, size], j) => [part, size, now.passes[j] > 1 ? `${now.passes[j]} · ` : ""])   // with its backward pass
      .filter(([part, size]) => part === key && size.every((s) => s)).map(([, size, passes]) => `${passes}2 · ${size.map(calculator.grouped).join(" · ")}${texts}`).join(" + ");
  }

  function below(all) {
    const head = document.createElement("thead"), body = document.createElement("tbody"), foot = document.createElement("tfoot"), k = seen();
    const row = (cells, titles) => {   // the first cell names the row, or all of them columns
      const tr = document.createElement("tr");
      tr.append(...cells.map((cell, i) => {
        const one = tag(i && !titles ? "td" : "th", cell);
        if (titles || !i) one.scope = titles ? "col" : "row";
        return one;
      }));
      return tr;
    };
    head.append(row(["part", ...all.map(({ label }) => label), "FLOPs / byte", "bound by"], true));
    d.parts.forEach((part, p) => {
      if (!all.some(({ values }) => values[p])) return;
      const asks = moved(p) > 0, tr = row([part.label, ...all.map(({ values, say }) => (values[p] ? say(values[p]) : "–")),
        asks ? calculator.three(value("flops", p) / moved(p)) : "–", asks ? (value("bound", p) ? "memory" : "arithmetic") : "–"]);
      tr.firstChild.prepend(swatch(part));
      tr.className = p === k ? "lit" : "";
      tr.addEventListener("pointerenter", (event) => event.pointerType === "touch" || look(p));
      tr.addEventListener("click", () => pin(p));
      body.append(tr);
    });
    foot.append(row(["all", ...all.map(({ said }) => said), calculator.three(all[3].total / all[2].total), ""]));
    table.replaceChildren(head, body, foot);
  }

  // ---- what is pointed at, and what is told ----

  function look(p) {
    if (hover === p) return;
    hover = p;
    beside(rows());
    const shownParts = there(), lit = seen();
    for (const [i, tr] of [...table.tBodies[0].rows].entries()) tr.className = shownParts[i] === lit ? "lit" : "";
    canvas.redraw();
  }
  const there = () => { const all = rows(); return each((p) => p).filter((p) => all.some(({ values }) => values[p])); };
  function pin(p) {
    at.part = p === null || d.parts[p].key === at.part ? "" : d.parts[p].key;
    hover = null;
    settle();
    tell();
  }
  function walk(by) {
    const all = there(), here = all.indexOf(shown());
    at.part = d.parts[all[(here + by + all.length) % all.length]].key;
    hover = null;
    settle();
    tell();
  }
  function under(event) {
    const { left: x, top: y } = canvas.canvas.getBoundingClientRect(), px = event.clientX - x, py = event.clientY - y;
    const found = pieces.find((b) => b.w > 0 && px >= b.x && px < b.x + b.w && py >= b.y - 2 && py < b.y + b.h + 2);
    return found ? found.part : null;
  }
  canvas.canvas.addEventListener("pointermove", (event) => d && event.pointerType !== "touch" && look(under(event)));
  root.addEventListener("pointerleave", () => d && look(null));
  canvas.canvas.addEventListener("click", (event) => d && pin(under(event)));
  gf.keys(canvas.canvas, { ArrowLeft: () => walk(-1), ArrowRight: () => walk(1), ArrowUp: () => walk(-1), ArrowDown: () => walk(1),
    Escape: () => pin(null) });

  function tell(after = 300) {
    clearTimeout(waiting);
    waiting = setTimeout(() => send.setStateValue("stand", { epoch: d.epoch, ...at, ...asked }), after);
  }

  return {
    update(next) {
      send = next;
      d = gf.unpack(next.data);
      c = gf.colours(root);
      if (d.epoch !== epoch) {
        epoch = d.epoch;
        clearTimeout(waiting);
        Object.assign(at, d.at);
        asked = {};
      } else {   // new numbers, the learner's setting; what was typed may have come
        if (!d.done.some(({ name }) => name === at.doing)) at.doing = d.at.doing;
        for (const [key, list] of [["n", d.lengths], ["batch", d.batches]]) {
          if (list.includes(asked[key])) { at[key] = asked[key]; delete asked[key]; }
          if (!list.includes(at[key])) at[key] = d.at[key];
        }
      }
      hover = null;
      settle();
    },
    destroy() { clearTimeout(waiting); canvas.destroy(); },
  };
});
