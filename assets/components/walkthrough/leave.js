// What leaves the component: the settled view for the link, and the picture as a file.
const SETTLE = 350;   // ms without a change

Object.assign(Walkthrough.prototype, {
  // The server hears what was settled on: for the link, and for a layer that is not here yet.
  report() {
    clearTimeout(this.timer);
    const missing = this.view.layer !== null && !this.trace.has(this.view.layer);
    this.timer = setTimeout(() => this.settle(true), missing ? 0 : SETTLE);
  },
  settle(send = false) {
    const { layer, head, token, temperature, map, big, part, tour } = this.view, { trace } = this;
    const told = { layer, head, token: token === this.home.token ? null : token, temperature: trace.temperatures[temperature], map, big, part, tour };
    const text = JSON.stringify(told);
    if (send && text !== this.told) this.component.setStateValue("view", told);
    this.told = text;
  },

  svg() {
    const { L, painter } = this, pen = svgPen(L.width, L.height, painter.c.background), s = { ...this.state(L), boxes: null, front: null, hover: null };
    painter.main(pen, L, s);
    painter.chips(pen, L, s);
    return pen.toString();
  },
  saveSvg() { gf.saveText(this.svg(), "walkthrough.svg", "image/svg+xml"); },
  savePng() {
    const { L, painter } = this, canvas = make(document.createElement("div"), "canvas", ""), ctx = canvas.getContext("2d");
    const s = { ...this.state(L), boxes: null, front: null, hover: null };
    canvas.width = 2 * L.width;
    canvas.height = 2 * L.height;
    ctx.scale(2, 2);
    ctx.fillStyle = painter.c.background;
    ctx.fillRect(0, 0, L.width, L.height);
    painter.main(canvasPen(ctx), L, s);
    painter.chips(canvasPen(ctx), L, s);
    this.root.append(canvas.parentElement);
    gf.savePng(canvas, "walkthrough.png");
    canvas.parentElement.remove();
  },
});
