// Copy the link to this very state, and jump to the code: the two actions that need no server. It also tells the server
// when the theme in force is not the one that the page's formulas and charts were painted for, and lets the keyboard
// scroll a formula that is wider than a phone.
export default (component) => gf.mount(component, (root) => {
  root.className = "row";
  const said = document.createElement("span");
  said.className = "gf-sr";
  said.setAttribute("role", "status");
  const copy = gf.button("Copy link", async () => {
    const done = await copyText(window.location.href);
    copy.textContent = done ? "Copied" : "Copy failed";
    said.textContent = done ? "The link to this page as it is now has been copied." : "The browser refused to copy.";
    setTimeout(() => { copy.textContent = "Copy link"; }, 1600);
  });
  const code = gf.button("Code", () => {
    const section = document.querySelector(".st-key-gf-code");
    if (!section) return;
    const details = section.querySelector("details");
    if (details && !details.open) details.querySelector("summary").click();
    section.scrollIntoView({ behavior: gf.reducedMotion() ? "auto" : "smooth", block: "start" });
  });
  root.append(copy, code, said);
  const reach = () => {
    for (const formula of document.querySelectorAll(".katex-display")) {
      if (formula.scrollWidth > formula.clientWidth) formula.tabIndex = 0;
      else formula.removeAttribute("tabindex");
    }
  };
  let queued = 0;
  const soon = () => {
    cancelAnimationFrame(queued);
    queued = requestAnimationFrame(reach);
  };
  const watcher = new MutationObserver(soon);
  watcher.observe(document.querySelector("[data-testid=stMain]"), { childList: true, subtree: true });
  window.addEventListener("resize", soon);
  document.fonts.addEventListener("loadingdone", soon);   // a formula gets its width with its font
  let reported = null;
  return {
    update({ data, setStateValue }) {
      const [red, green, blue] = gf.rgb(gf.colours(root).background);
      const theme = red + green + blue > 384 ? "light" : "dark";
      if (theme !== data.theme && theme !== reported) setStateValue("theme", theme);
      reported = theme === data.theme ? null : theme;
    },
    destroy() {
      watcher.disconnect();
      window.removeEventListener("resize", soon);
      document.fonts.removeEventListener("loadingdone", soon);
    },
  };
});

async function copyText(text) {
  if (navigator.clipboard && window.isSecureContext) {
    try {
      await navigator.clipboard.writeText(text);
      return true;
    } catch { /* refused: fall through to the older way */ }
  }
  const box = document.createElement("textarea");   // a classroom server on plain http has no clipboard object
  box.value = text;
  box.style.position = "fixed";
  box.style.opacity = "0";
  document.body.appendChild(box);
  box.select();
  const done = document.execCommand("copy");
  box.remove();
  return done;
}
