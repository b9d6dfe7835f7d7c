/* Lanes of blocks over one axis of time: what was computed when, and what waited for what.

   A slider chooses the frame (the length of a text). Hover a block for its times, a click or the arrows leave it there: left
   and right along a lane, up and down between lanes.
   Data: charts/timeline.py says what the header holds. Reports: stand, with frame, lane and block where the learner left
   them, and the epoch of the message they answer to. */
export default (component) => gf.mount(component, (root, first) => {
  const LANE = 74, TOP = 30, GAP = 34, FOOT = 46;
  let spec = null, c = null, frame = 0, at = { lane: 0, block: 0 }, hover = null, send = first, waiting = 0;
  const slider = plot.scrubber("", (i) => { frame = i; at.block = Math.min(at.block, count(at.lane) - 1); read(); tell(); });
  const bar = document.createElement("div");
  bar.className = "bar";
  bar.append(slider.element);
  root.append(bar);
  const view = gf.canvas(root, { label: "", draw: (ctx, w, h) => spec && draw(plot.onCanvas(ctx), w, h) });
  const { sum, tools } = plot.foot(view, () => spec.name, () => plot.saveSvg(`${spec.name}.svg`, view.size(), c.background, draw));
  root.append(sum, tools);

  const starts = (lane) => spec.arrays[`start_${lane}_${frame}`];
  const ends = (lane) => spec.arrays[`end_${lane}_${frame}`];
  const names = (lane) => spec.lanes[lane].names[frame];
  const count = (lane) => starts(lane).length;
  const whole = (lane) => ends(lane)[count(lane) - 1];
  const longest = () => Math.max(...spec.lanes.map((_, lane) => whole(lane)));
  const across = (w) => plot.scale(0, longest(), 8, w - 8);
  const top = (lane) => TOP + lane * (LANE + GAP);

  function tell() {
    clearTimeout(waiting);
    waiting = setTimeout(() => send.setStateValue("stand", { epoch: spec.epoch, frame: spec.frames.values[frame], ...at }), 250);
  }

  function draw(p, w, h) {
    const x = across(w), shown = hover ?? at;
    spec.lanes.forEach((lane, l) => {
      const y = top(l), s = starts(l), e = ends(l);
      p.text(8, y - 9, `${lane.title}: ${said(whole(l))}`, { fill: c.ink, family: plot.SANS, size: 15, weight: 600 });
      for (let i = 0; i < s.length; i++) {
        const from = x(s[i]), width = Math.max(1, x(e[i]) - from - (x(e[i]) - from > 4 ? 1 : 0));
        const lit = shown.lane === l && shown.block === i;
        const fill = lit ? c.ink : gf.mix(c.background, c[lane.roles[frame][i]], i % 2 ? 0.62 : 0.85);
        p.rect(from, y, width, LANE - 30, { fill, radius: width > 8 ? 3 : 0 });
        const name = names(l)[i];
        if (width > 8.4 * name.length + 6) {
          p.text(from + width / 2, y + (LANE - 30) / 2 + 5, name,
            { fill: plot.readable(c, fill), anchor: "middle", size: 14 });
        }
      }
    });
    const y = top(spec.lanes.length - 1) + LANE - 22;
    for (const value of plot.ticks(0, longest(), w < 560 ? 3 : 8)) {
      p.line([[x(value), TOP - 4], [x(value), y]], { stroke: c.line, opacity: 0.6 });
      p.text(x(value), y + 16, plot.tick(value), { fill: c.muted, anchor: value ? "middle" : "start" });
    }
    p.text(w / 2, y + 36, spec.axis, { fill: c.ink, anchor: "middle", family: plot.SANS, size: 15 });
  }

  const said = (us) => (us >= 1000 ? `${(us / 1000).toFixed(2)} ms` : `${us.toFixed(1)} µs`);

  function read() {
    const { lane, block } = hover ?? at, from = starts(lane)[block], to = ends(lane)[block];
    sum.textContent = `${spec.lanes[lane].title}, ${names(lane)[block]}: ${said(to - from)}, from ${said(from)} to ${said(to)}. `
      + `${block ? `It waits for ${spec.lanes[lane].waits[frame][block]}.` : "It waits for nothing."}`;
    view.canvas.setAttribute("aria-label", `${spec.label}. ${sum.textContent}`);
    view.redraw();
  }

  function under(event) {
    const { width } = view.size(), t = across(width).invert(event.offsetX);
    const lane = spec.lanes.findIndex((_, l) => event.offsetY >= top(l) && event.offsetY <= top(l) + LANE - 30);
    if (lane < 0 || t < 0 || t > whole(lane)) return null;
    const block = ends(lane).findIndex((end) => t <= end);
    return block < 0 ? null : { lane, block };
  }

  view.canvas.addEventListener("pointermove", (event) => { if (spec) { hover = under(event); read(); } });
  view.canvas.addEventListener("pointerleave", () => { if (spec) { hover = null; read(); } });
  view.canvas.addEventListener("click", (event) => {
    const found = spec && under(event);
    if (found) { at = found; read(); tell(); }
  });
  const step = (sign) => (event) => {
    at.block = Math.max(0, Math.min(count(at.lane) - 1, at.block + sign * (event.shiftKey ? 10 : 1)));
    read();
    tell();
  };
  const change = (sign) => () => {
    at.lane = Math.max(0, Math.min(spec.lanes.length - 1, at.lane + sign));
    at.block = Math.min(at.block, count(at.lane) - 1);
    read();
    tell();
  };
  gf.keys(view.canvas, { ArrowLeft: step(-1), ArrowRight: step(1), ArrowUp: change(-1), ArrowDown: change(1) });

  return {
    update(next) {
      send = next;
      const before = spec;
      spec = gf.unpack(next.data);
      c = gf.colours(root);
      if (!before || before.epoch !== spec.epoch) {
        clearTimeout(waiting);
        frame = spec.frames.values.indexOf(spec.frames.at);
        at = { lane: spec.lane, block: Math.min(spec.block, count(spec.lane) - 1) };
      }
      slider.element.firstChild.textContent = spec.frames.label;
      slider.set(spec.frames.values.map((v) => plot.tick(v)), frame);
      view.canvas.style.height = `${top(spec.lanes.length - 1) + LANE + FOOT - 30}px`;
      read();
    },
    destroy() { clearTimeout(waiting); view.destroy(); },
  };
});
