// The operating points as radio buttons. A choice is sent to the kernel, and shown as chosen when the kernel confirms it.

function render({ model, el, signal }) {
  // Every widget has a module of its own, so that counting would give all the same name, and only one of them a choice.
  const group = `md-point-${Math.random().toString(36).slice(2)}`;
  const problem = make("p", { role: "alert", class: "md-problem", hidden: "" });
  const radios = new Map();
  let late, asked;

  function option(point) {
    const radio = make("input", { type: "radio", name: group, value: point.name, id: `${group}-${point.name}`, "aria-describedby": `${group}-${point.name}-more` });
    radios.set(point.name, radio);
    radio.addEventListener("change", () => choose(point.name));
    return make("div", { class: "md-point" }, radio,
      make("label", { for: radio.id },
        make("span", { class: "md-point-name" }, point.title, " ", make("span", { class: "md-point-from" }, `threshold ${point.threshold}`)),
        make("span", { class: "md-point-more", id: `${group}-${point.name}-more` },
          make("span", { class: "md-point-rule" }, point.purpose, " "),
          make("span", { class: "md-point-gave" }, `${point.missed} missed, ${point.alarms} false alarms`))));
  }

  function tell(text) {
    problem.textContent = text;
    problem.hidden = !text;
  }
  function show() {
    clearTimeout(late);
    asked = undefined;
    tell("");
    for (const [name, radio] of radios) radio.checked = name === model.get("chosen");
  }
  // The answer to an earlier choice must not undo a later one.
  function confirm() {
    if (asked === undefined || asked === model.get("chosen")) show();
  }
  function choose(name) {
    clearTimeout(late);
    asked = name;
    const fail = () => { show(); tell(ENDED); };
    if (!send(model, { type: "choose", name })) return fail();
    // A kernel that the server has ended does not answer.
    late = setTimeout(fail, 20000);
  }

  el.classList.add("malaria-detect", "md-points");
  el.replaceChildren(
    make("fieldset", {},
      make("legend", {}, "Operating point"),
      make("p", { class: "md-points-what" }, model.get("about")),
      make("div", { class: "md-points-row" }, ...model.get("points").map(option))),
    problem);
  show();
  // The kernel also confirms a choice that changes nothing.
  const hear = (message) => { if (message.type === "chosen") confirm(); };
  model.on("change:chosen", confirm);
  model.on("msg:custom", hear);
  signal.addEventListener("abort", () => { clearTimeout(late); model.off("change:chosen", confirm); model.off("msg:custom", hear); });
}

export default { render };
