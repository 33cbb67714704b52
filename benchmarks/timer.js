// Put into a page before its own scripts: measures in the page itself when it can be used, and when an answer is there.
// window.timerSetUp = { button, answer, press }: selectors of the button that uploads and of what answers, and of the
// button that has to be pressed after an upload, if there is one. The times, in milliseconds, become attributes of <html>:
// the page's policy lets nobody evaluate anything in it later.
(() => {
  const { button, answer, press } = window.timerSetUp;
  if (!location.protocol.startsWith("http")) return;
  // A page that reloads was not usable before.
  sessionStorage.began ??= performance.timeOrigin;
  const tell = (name, time) => { document.documentElement.dataset[name] = time; };

  // Usable is a page where a click at the button's middle would hit the button and nothing that covers it.
  const look = () => {
    const box = document.querySelector(button)?.getBoundingClientRect();
    const hit = box && document.elementFromPoint(box.x + box.width / 2, box.y + box.height / 2);
    if (hit?.closest(button)) tell("usable", performance.timeOrigin + performance.now() - Number(sessionStorage.began));
    else requestAnimationFrame(look);
  };
  requestAnimationFrame(look);

  // ipywidgets' file input is not in the document: it is met when it is clicked.
  const click = HTMLInputElement.prototype.click;
  HTMLInputElement.prototype.click = function () {
    this.addEventListener("change", () => tell("chosen", performance.now()), { capture: true, once: true });
    click.call(this);
  };

  // An answer is one more element, or another text where there is one element only.
  const said = () => [...document.querySelectorAll(answer)].map((one) => one.textContent).join("\n");
  window.startTimer = () => {
    for (const name of ["chosen", "pressed", "answered"]) delete document.documentElement.dataset[name];
    let last = said();
    const answered = new MutationObserver(() => {
      const now = said();
      if (now !== last && now) {
        tell("answered", performance.now());
        answered.disconnect();
      }
      last = now;
    });
    answered.observe(document.body, { childList: true, subtree: true, characterData: true });
    if (!press) return;
    // The upload's button counts its files as soon as they are sent: a visitor of no reaction time presses the other one.
    const counted = new MutationObserver(() => {
      counted.disconnect();
      tell("pressed", performance.now());
      document.querySelector(press).click();
    });
    counted.observe(document.querySelector(button), { childList: true, subtree: true, characterData: true });
  };
})();
