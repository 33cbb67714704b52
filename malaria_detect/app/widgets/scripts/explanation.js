// "Where did it look?" on a card: a button, then a sentence and, if the explanation is reliable, the marked region over the
// picture with a slider. An explanation is for one operating point; at another one the card shows the button again.

function explanation(frame, ask, lost) {
  const sentence = make("p", { class: "md-looked", tabindex: "-1" });
  const slider = make("input", { type: "range", min: "0", max: "100", step: "5", value: "70" });
  const strength = make("label", { class: "md-strength" }, make("span", {}, "Opacity of the mark"), slider);
  const found = make("div", { class: "md-explained", hidden: "" }, sentence, strength);
  const mark = make("img", { class: "md-mark", alt: "", hidden: "" });
  const press = button("", look, "md-small");
  let kind = "";
  let point = "";
  let waiting = 0;  // timer of the expected answer
  let told = null;

  function fade() { mark.style.opacity = slider.value / 100; }
  function show() {
    const holds = told !== null && told.point === point;
    press.hidden = holds || kind === "refused";
    press.textContent = waiting ? "Looking …" : "Where did it look?";
    press.setAttribute("aria-disabled", String(waiting !== 0));  // a disabled button would lose the focus
    found.hidden = !holds;
    mark.hidden = !holds || !told.marked;
    strength.hidden = mark.hidden;
  }
  function look() {
    if (waiting) return;
    // A kernel that the server has ended does not answer.
    waiting = setTimeout(() => { stop(); lost(); }, 60000);
    show();
    ask();
  }
  function hear(message, buffers) {
    const focused = press.getRootNode().activeElement === press;
    clearTimeout(waiting);
    waiting = 0;
    told = { point: message.point, marked: buffers.length > 0 };
    sentence.textContent = message.sentence;
    if (told.marked) {
      const url = URL.createObjectURL(new Blob([buffers[0]], { type: "image/png" }));
      mark.addEventListener("load", () => URL.revokeObjectURL(url), { once: true });  // no longer needed
      mark.src = url;
    }
    show();
    if (focused && press.hidden) sentence.focus();  // its button is gone
  }
  function decide(now) {
    kind = now.kind;
    point = now.point;
    show();
  }
  function stop() {
    clearTimeout(waiting);
    waiting = 0;
    show();
  }
  slider.addEventListener("input", fade);
  fade();
  frame.append(mark);
  return { parts: [make("div", { class: "md-reveal" }, press), found], hear, decide, stop };
}
