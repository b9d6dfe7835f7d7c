/* Everything beside the picture: four sliders, buttons, the die, read-outs; the running text above, greedy below it.

   controls.panel({current, moved, settled, act}) -> {element, settings(), header(h, running)}
       moved() while a slider changes `current`, settled() when it is let go, act({do, …}) for everything else
   controls.facts()           -> {element, show(d, names)}   the read-outs over the picture
   controls.stages(show)      -> {element, stage, whole(), destroy()}   show(stage) while it plays or a stage is picked
   controls.tape(act)         -> {element, show(header)}
   controls.compare()         -> {element, show(header)} */
const controls = (() => {
  const { element, FILTERS, OFF } = filters;

  function panel({ current, moved, settled, act }) {
    const box = element("div", "panel"), sliders = FILTERS.map((f) => filters.slider(f, current, { moved, settled }));
    const buttons = element("div", "buttons"), rows = element("div", "filters"), die = element("div", "die");
    const next = gf.button("Next token", () => act({ do: "next" }), {});
    next.classList.add("primary");
    const run = gf.button("Run 20", () => act({ do: "run" }), { label: "Write 20 tokens, one by one" });
    const undo = gf.button("Undo", () => act({ do: "undo" }), { label: "Take the last token back" });
    const reset = gf.button("Restart", () => act({ do: "restart" }), { label: "Take every written token back" });
    const why = element("p", "why");
    buttons.append(next, run, undo, reset);
    const off = gf.button("Switch all off", () => {
      Object.assign(current, OFF);
      sliders.forEach((s) => s.show());
      moved();
      settled();
    }, { label: "Temperature 1, no cuts" });
    off.classList.add("quiet");
    rows.append(...sliders.map((s) => s.row), off);
    const seed = element("input", "seed");
    seed.type = "number";
    seed.min = 0;
    seed.max = 999999;
    seed.setAttribute("aria-label", "Seed of the die");
    seed.addEventListener("change", () => act({ do: "seed", seed: Math.floor(Number(seed.value)) || 0 }));
    const again = gf.button("Write again", () => act({ do: "rewrite" }),
      { label: "The same number of tokens anew, with these settings and this seed" });
    const roll = gf.button("New seed", () => act({ do: "seed", seed: Number(seed.value) + 1 }), {});
    const beside = gf.button("Compare with greedy", () => act({ do: "compare" }),
      { label: "Compare with greedy decoding", pressed: false });
    const seedLabel = element("label", "seedrow", "Seed ");
    seedLabel.append(seed);
    die.append(seedLabel, roll, again, beside);
    box.append(buttons, why, rows, die);

    function settings() {
      sliders.forEach((s) => s.show());
      off.disabled = FILTERS.every((f) => current[f.name] === f.off);
    }

    function header(h, running) {
      run.textContent = running ? "Stop" : "Run 20";
      run.setAttribute("aria-label", running ? "Stop writing" : "Write 20 tokens, one by one");
      const back = h.at < h.written.length;
      next.disabled = running || (!h.can_write && !back) || (!back && Boolean(h.ended));
      run.disabled = !running && (!h.can_write || Boolean(h.ended));
      undo.disabled = reset.disabled = running || !h.written.length;
      again.disabled = running || !h.written.length || !h.can_write;
      beside.disabled = running || !h.can_write;
      beside.setAttribute("aria-pressed", String(h.greedy !== null));
      why.textContent = h.ended || h.why_not || "";
      why.hidden = !why.textContent;
      if (document.activeElement !== seed) seed.value = h.seed;
    }
    return { element: box, settings, header };
  }

  function facts() {
    const box = element("dl", "facts"), values = {};
    for (const term of ["most probable", "kept", "entropy", "perplexity"]) {
      const pair = element("div"), value = values[term] = element("dd");
      pair.append(element("dt", "", term), value);
      box.appendChild(pair);
    }
    function show(d, names) {
      const best = paint.clip(gf.chipText(names[0]), 110, 15);
      values["most probable"].textContent = `${best} ${gf.number(sampling.share(d, 0))}`;
      const spike = d.temperature === 0, choices = Math.exp(d.entropy);
      values.kept.textContent = spike ? "1" : d.kept === d.p.length ? "all" : filters.count(d.kept);
      const nats = element("small", "", `${gf.number(d.entropy)} nats`);
      values.entropy.replaceChildren(`${gf.number(d.entropy / Math.LN2)} bits`, nats);
      values.perplexity.textContent = choices < 1.005 ? "one choice" : `${gf.number(choices)} equal choices`;
    }
    return { element: box, show };
  }

  /* The computation in stages: Play runs through them, a stage shows how far it got, the last is the whole picture. */
  function stages(show) {
    const box = element("div", "stages"), last = paint.STAGES.length - 1;
    let now = last, running = null;
    box.setAttribute("role", "group");
    box.setAttribute("aria-label", "Stages of the computation");
    const play = gf.button("▶ Play", () => (running ? stop() : start()), { label: "Play the computation stage by stage" });
    const buttons = paint.STAGES.map((name, i) => gf.button(name, () => { stop(); to(i); },
      { label: `Show the computation up to: ${name}`, pressed: i === last }));
    box.append(play, ...buttons);
    function to(stage) {
      now = stage;
      buttons.forEach((button, i) => button.setAttribute("aria-pressed", String(i === Math.round(stage))));
      show(stage);
    }
    function stop() {
      if (running) { running.stop(); clearTimeout(running.pause); }
      running = null;
      play.textContent = "▶ Play";
      to(Math.round(now));
    }
    function start() {
      const run = running = { stop: () => {} };
      play.textContent = "■ Stop";
      to(0);
      const next = () => {
        if (running !== run) return;
        if (now >= last) { stop(); return; }
        const from = now, motion = gf.animate(650, (t) => { if (running === run) to(from + t); }, () => {
          run.pause = setTimeout(next, 550);
        });
        run.stop = motion.stop;
      };
      run.pause = setTimeout(next, 900);
    }
    const destroy = () => running && stop();
    const whole = () => {
      destroy();
      if (now !== last) to(last);
    };
    return { element: box, whole, destroy, get stage() { return now; } };
  }

  function chip(token, share) {
    const made = gf.chip(token.piece), bar = element("span", "share");
    bar.style.setProperty("--share", share);
    made.appendChild(bar);
    return made;
  }

  function tape(act) {
    const box = element("div", "tape"), wrap = element("div", "tapewrap");
    wrap.appendChild(box);
    const tip = gf.tooltip(wrap);
    function show(h) {
      const parts = h.prompt.map((piece) => {
        const made = gf.chip(piece);
        made.classList.add("prompt");
        return made;
      });
      h.written.forEach((token, t) => {
        const made = element("button", "step");
        made.type = "button";
        made.appendChild(chip(token, token.p));
        if (token.forced) made.classList.add("forced");
        made.setAttribute("aria-pressed", String(t === h.at));
        const lines = [`p = ${gf.number(token.p)} of the model, rank ${filters.count(token.rank + 1)}`,
          `surprise ${gf.number(-Math.log2(token.p))} bits; entropy here ${gf.number(token.bits)} bits`,
          token.forced ? "chosen by you" : "drawn"];
        made.setAttribute("aria-label", `Step ${t + 1}: ${gf.chipText(token.piece)}, ${lines.join(", ")}`);
        made.addEventListener("click", () => act({ do: "look", at: t }));
        made.addEventListener("pointerenter", () => tip.show(made.offsetLeft, made.offsetTop + 20,
          [{ text: `step ${t + 1}: ${gf.chipText(token.piece)}`, strong: true }, ...lines]));
        made.addEventListener("pointerleave", () => tip.hide());
        parts.push(made);
      });
      if (!h.ended) {
        const here = element("button", "step here", "?");
        here.type = "button";
        here.setAttribute("aria-pressed", String(h.at === h.written.length));
        here.setAttribute("aria-label", "The token to come");
        here.addEventListener("click", () => act({ do: "look", at: h.written.length }));
        parts.push(here);
      }
      tip.hide();
      box.replaceChildren(...parts);
      box.scrollTop = box.scrollHeight;
    }
    return { element: wrap, show };
  }

  function compare() {
    const box = element("div", "compare");
    function row(title, tokens, differs) {
      const line = element("div", "line"), text = element("div", "tokens");
      tokens.forEach((token, t) => {
        const made = chip(token, token.p);
        if (t === differs) made.classList.add("differs");
        made.title = `p = ${gf.number(token.p)}`;
        text.appendChild(made);
      });
      const bits = tokens.reduce((sum, token) => sum - Math.log2(token.p), 0);
      line.append(element("span", "who", title), text,
        element("span", "sum", `${gf.number(bits)} bits, ${gf.number(bits / tokens.length)} a token`));
      return line;
    }
    function show(h) {
      box.hidden = h.greedy === null;
      if (box.hidden) return;
      if (!h.written.length) {
        box.replaceChildren(element("p", "why", "Write some tokens, and greedy decoding writes as many beside them."));
        return;
      }
      const differs = h.written.findIndex((token, t) => !h.greedy[t] || token.id !== h.greedy[t].id);
      box.replaceChildren(row("yours", h.written, differs), row("greedy", h.greedy, differs));
    }
    return { element: box, show };
  }

  return { panel, facts, stages, tape, compare };
})();
