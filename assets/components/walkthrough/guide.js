// The tour at work: what a step does to the view, and who has had it before.
const SEEN = "glassformer-walkthrough-tour";

Object.assign(Walkthrough.prototype, {
  enterTour(step) {
    const { view, temperature } = this.steps[step - 1], { view: mine } = this;
    const before = { layer: mine.layer, big: mine.big };
    Object.assign(mine, view, { tour: step, key: null, pick: 0 });
    this.play.reset();
    if (mine.layer !== before.layer || mine.big !== before.big) this.rearrange();
    else this.bringIn();
    this.tour.show(step, this.steps, false);
    this.refresh();
    this.remember();
    const { title, text } = this.steps[step - 1];
    this.live.textContent = `Step ${step} of ${this.steps.length}, ${title}. ${text}`;
    this.swing?.stop();
    if (temperature && !gf.reducedMotion()) this.swingTemperature();
    this.report();
  },
  swingTemperature() {   // the last step moves the handle itself: cold, hot, and back
    const at = this.view.temperature, low = nearest(this.trace.temperatures, 0.3), high = nearest(this.trace.temperatures, 1.8);
    const way = [at, low, high, at];
    this.swing = gf.animate(4200, (_, t) => {
      const k = Math.min(2, Math.floor(t * 3));
      this.view.temperature = Math.round(mixed(way[k], way[k + 1], t * 3 - k));
      this.refresh();
    }, () => { this.view.temperature = at; this.refresh(); });
  },
  endTour() {
    this.swing?.stop();
    this.view.tour = null;
    this.remember();
    this.tour.show(null, [], false);
    this.refresh();
    this.report();
  },
  seen() {
    try { return Boolean(localStorage.getItem(SEEN)); } catch { return this.visited; }
  },
  remember() {
    this.visited = true;
    try { localStorage.setItem(SEEN, "1"); } catch { /* a browser that keeps nothing is asked again next time */ }
  },
});
