/* What stands around the pictures: filters, steppers, views, the measured scores, the legend, the files.

   controls(app, save) -> {chips, top, sentence, strip, foot: elements; reset(): a new text's counts; write(): the view's
   state; label(): the words on the head's badge}.   save: {svg, png, csv}, called when the learner asks for a file. */
const controls = (app, save) => {
  const make = (tag, className, text) => {
    const element = document.createElement(tag);
    element.className = className;
    if (text) element.textContent = text;
    return element;
  };
  const chips = group("Heads by measured pattern"), top = make("div", "am-top"), toggles = make("div", "am-toggles");
  chips.classList.add("am-chips");
  const stepper = make("div", "am-steppers"), badge = make("span", "am-label");
  const strip = make("div", "am-strip"), sentence = make("p", "am-sentence");
  const segments = {
    scope: segment("scope", "What the map shows",
      [["head", "one head"], ["average", "layer average"], ["rollout", "rollout"]]),
    measure: segment("measure", "What a cell is", [["weights", "weights"], ["values", "weights × ‖value‖"]]),
    form: segment("form", "How it is drawn (M)", [["map", "map"], ["lines", "lines"]]),
  };
  toggles.append(segments.scope.root, segments.measure.root, segments.form.root);
  const steps = ["layer", "head"].map((name) => step(name));
  stepper.append(...steps.map((s) => s.root), badge);
  top.append(stepper, toggles);

  const [foot, legend, aim, files] = ["am-foot", "am-legend", "am-aim", "am-save"].map((name) => make("div", name));
  const cut = make("label", "am-cut"), slider = document.createElement("input");
  const cutValue = make("span", "am-value", gf.number(app.cut));
  Object.assign(slider, { type: "range", min: 0, max: 0.5, step: 0.01, value: app.cut });
  slider.addEventListener("input", () => {
    app.cut = Number(slider.value);
    cutValue.textContent = gf.number(app.cut);
    app.redraw();
  });
  cut.append("fade below ", slider, cutValue);
  files.append("save", gf.button("SVG", save.svg), gf.button("PNG", save.png), gf.button("CSV", save.csv));
  foot.append(legend, aim, cut, files);

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
      buttons.set(value, gf.button(text, () => app.set({ [name]: value }), { pressed: false }));
      element.append(buttons.get(value));
    }
    return { root: element, buttons };
  }

  function step(name) {
    const element = make("div", "am-step"), value = make("span", "am-step-value");
    const move = (by) => {
      const count = app.data[`${name}s`];
      app.set({ [name]: (app.view[name] + by + count) % count });
    };
    element.append(gf.button("‹", () => move(-1), { label: `previous ${name}` }), value,
      gf.button("›", () => move(1), { label: `next ${name}` }));
    return { root: element, name, value };
  }

  function reset() {
    const { patterns, arrays, hide } = app.data, { labels, scores } = arrays;
    const count = (i) => labels.filter((x) => x === i).length;
    chips.replaceChildren(chip(null, "all", labels.length, ""), ...patterns.map((p, i) => {
      const possible = scores.subarray(i * labels.length, (i + 1) * labels.length).some((x) => !Number.isNaN(x));
      const element = chip(p.id, p.name, possible ? count(i) : "–", possible ? p.about : p.missing);
      element.disabled = !count(i);
      return element;
    }));
    chips.hidden = hide.includes("filters");
    toggles.hidden = hide.includes("views");
  }

  function chip(id, name, count, about) {
    const element = gf.button("", () => app.set({ pattern: app.view.pattern === id ? null : id }), { pressed: false });
    const dot = make("i", "am-dot");
    if (id) { dot.style.setProperty("--dot", `var(--am-${id})`); element.append(dot); }
    element.append(name, make("span", "am-count", String(count)));
    element.dataset.pattern = id ?? "";
    element.title = about;
    return element;
  }

  function write() {
    const { data, view } = app, own = data.arrays.labels[view.layer * data.heads + view.head];
    for (const element of chips.children) {
      element.setAttribute("aria-pressed", String((element.dataset.pattern || null) === view.pattern));
    }
    for (const [name, { buttons }] of Object.entries(segments)) {
      for (const [value, button] of buttons) button.setAttribute("aria-pressed", String(view[name] === value));
    }
    segments.measure.buttons.get("values").disabled = view.scope === "rollout";
    for (const { root: element, name, value } of steps) {
      value.textContent = app.narrow ? `${name[0].toUpperCase()}${view[name]}` : `${name} ${view[name]}`;
      element.hidden = name === "head" && view.scope !== "head";
    }
    const one = view.scope === "head", pattern = one && own >= 0 ? data.patterns[own] : null;
    badge.hidden = strip.hidden = !one;
    badge.textContent = one ? label() : "";
    badge.style.setProperty("--dot", pattern ? `var(--am-${pattern.id})` : "var(--am-none)");
    sentence.textContent = tell(pattern);
    strip.replaceChildren(...data.patterns.map((p, i) => meter(p, app.scoreOf(i, view.layer, view.head), i === own)));
    cut.hidden = view.form !== "lines";
    explain();
  }

  function tell(pattern) {   // one sentence on what is in view
    const { data, view } = app, { words, start } = data;
    if (view.scope !== "head") return words[view.scope];
    if (start.tells && view.layer === start.layer && view.head === start.head) return start.tells;
    if (!pattern) return data.n > 1 ? words.none : words.alone;
    const score = app.scoreOf(data.patterns.indexOf(pattern), view.layer, view.head);
    return pattern.sentence.replace("{score}", `${Math.round(100 * score)} %`);
  }

  function label() {
    const { data, view } = app, own = data.arrays.labels[view.layer * data.heads + view.head];
    return own < 0 ? "no pattern" : `${data.patterns[own].short} ${app.scoreOf(own, view.layer, view.head).toFixed(2)}`;
  }

  function meter(pattern, score, own) {
    const cell = make("div", "am-score"), bar = make("span", "am-bar"), length = make("i"), none = Number.isNaN(score);
    cell.classList.toggle("am-own", own);
    cell.title = none ? pattern.missing : pattern.about;
    length.style.width = `${none ? 0 : 100 * score}%`;
    length.style.background = `var(--am-${pattern.id})`;
    bar.style.setProperty("--at", `${100 * pattern.threshold}%`);
    bar.append(length);
    cell.append(make("span", "am-name", pattern.short), bar, make("span", "am-value", none ? "–" : score.toFixed(2)));
    return cell;
  }

  function explain() {   // the colours, and the outlined cells
    const { view, matrix: now } = app, most = now ? now.most : 1, stops = [];
    for (let i = 0; i <= 10; i++) stops.push(app.scale(i / 10));
    const ramp = make("span", "am-ramp"), ticks = make("span", "am-ticks"), scale = make("span", "am-scale");
    ramp.style.background = `linear-gradient(90deg, ${stops.join(", ")})`;
    for (const share of [0, 0.05, 0.25, 0.5, 1]) {
      const tick = make("span", "", gf.number(share * most, 2));
      tick.style.left = `${100 * Math.sqrt(share)}%`;
      ticks.append(tick);
    }
    scale.append(ramp, ticks);
    const name = view.measure === "values" ? "A · ‖v‖" : view.scope === "rollout" ? "share R" : "weight A";
    legend.replaceChildren(make("span", "am-muted", name), scale);
    const aimed = app.aimed(), box = make("i", "");
    aim.hidden = aimed < 0 || view.form !== "map";
    if (aim.hidden) return;
    box.style.borderColor = `var(--am-${app.data.patterns[aimed].id})`;
    aim.replaceChildren(box, app.data.patterns[aimed].aims);
  }

  return { chips, top, sentence, strip, foot, reset, write, label };
};
