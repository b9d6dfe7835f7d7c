/* player: play, back, step and reset through the numbered stages of a picture.

   player.make({now, last, go, clear, beat, what})  ->  {element, start, stop, toggle, take(by), restart, read}
       now(), last(): the stage shown and the last one; go(to): show one; clear(): let go of what is pinned;
       beat(): milliseconds between two; what: "Play …" as a screen reader says it; read(): call when now or last changed */
const player = (() => {
  function make({ now, last, go, clear, beat, what }) {
    let playing = 0;
    const element = Object.assign(document.createElement("div"), { className: "player" });
    const count = Object.assign(document.createElement("span"), { className: "count" });
    const play = gf.button("▶ Play", () => toggle()), back = gf.button("‹ Back", () => take(-1));
    const next = gf.button("Step ›", () => take(1)), reset = gf.button("Reset", () => restart());
    play.classList.add("play");
    element.append(play, back, next, reset, count);

    function start() {
      go(now() === last() ? 0 : now() + 1);
      const on = () => {
        if (now() === last()) return stop();
        go(now() + 1);
        playing = setTimeout(on, beat());
      };
      playing = setTimeout(on, beat());
      label();
    }

    function stop() {
      clearTimeout(playing);
      playing = 0;
      label();
    }

    function toggle() { (playing ? stop : start)(); }
    function take(by) { stop(); go(now() + by); }
    function restart() { stop(); clear(); go(0); }

    function label() {
      play.textContent = playing ? "❚❚ Pause" : "▶ Play";
      play.setAttribute("aria-label", playing ? "Pause" : what);
    }

    function read() {
      count.textContent = `${now() + 1} of ${last() + 1}`;
      back.disabled = now() === 0;
      next.disabled = now() === last();
    }

    label();
    return { element, start, stop, toggle, take, restart, read };
  }

  return { make };
})();
