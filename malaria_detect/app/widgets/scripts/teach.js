// Teach it your lab: cells, a person's labels, and the estimate of what they teach. Cells come as messages and exist in this view only; a
// new view says hello and gets them again.

const LABELS = [["p", "Parasitized", "Parasitized"], ["u", "Uninfected", "Uninfected"], ["n", "Leave out", "Left out"]];

function render({ model, el, signal }) {
  let models = [];

  const progress = make("progress", { max: "1", value: "0", "aria-label": "Cells read" });
  const working = make("div", { class: "md-working", hidden: "", role: "status" }, progress, make("span", {}));
  const problem = make("p", { role: "alert", class: "md-problem", hidden: "" });
  const sentence = make("p", { class: "md-sentence", role: "status" });
  const needed = make("p", { class: "md-note", role: "status" });
  const slide = button("Take the reviewed cells of the slide", () => ask({ type: "slide" }));
  const clear = button("Clear all", () => ask({ type: "clear" }));
  const refused = make("details", { class: "md-fold", hidden: "" }, make("summary", {}), make("ul", { class: "md-list" }));
  const list = make("ol", { class: "md-candidates md-lab", "aria-label": "Cells" });
  const keys = keyHelp([["p", "parasitized"], ["u", "uninfected"], ["n", "leave out"], ["← → ↑ ↓", "move"]]);

  const estimate = button("Estimate the accuracy", () => ask({ type: "estimate" }), "md-primary");
  const verdict = make("p", { class: "md-verdict" });
  const cost = make("p", {});
  const basis = make("p", { class: "md-note" });
  const outdated = make("p", { class: "md-caution" });
  const rows = make("tbody");
  const head = ["Score", "Shipped model", "Adapted model", "Gain"];
  const table = make("table", { class: "md-table", role: "table", "aria-label": "Accuracy on your cells" },
    make("thead", {}, make("tr", {}, ...head.map((name) => make("th", { scope: "col" }, name)))), rows);
  const get = button("Download the adapted model (ZIP)", () => ask({ type: "download" }), "md-primary");
  const choice = make("fieldset", { class: "md-answers-of" });
  const worth = make("div", { class: "md-actions" }, get, choice);
  const found = make("div", { class: "md-found", hidden: "" }, outdated, verdict, table, cost, basis, worth);
  const judged = make("section", { class: "md-slide", hidden: "" }, make("h3", {}, "What it gains"), needed, make("div", { class: "md-actions" }, estimate), found);
  const bar = make("div", { class: "md-review-bar", hidden: "" }, keys, make("div", { class: "md-actions" }, clear));

  el.classList.add("malaria-detect", "md-results-part");
  el.replaceChildren(make("h2", { class: "md-hidden" }, "Your cells"), make("div", { class: "md-actions" }, slide), sentence, working, problem, refused, judged, bar, list,
    make("p", { class: "md-note" }, model.get("research_use")));
  keepKeys(el, signal);

  function trouble(text) {
    problem.textContent = text;
    problem.hidden = !text;
  }
  function ask(message) {
    trouble("");
    if (!send(model, message)) trouble(ENDED);
  }
  function label(id, answer, goOn = true) {
    const open = grid.cells.get(id).open();
    ask({ type: "label", id, label: answer });
    // Not when somebody changes a label: they look at this cell.
    if (goOn && open) {
      tell(id, answer, "");
      grid.goOnFrom(id);
    }
  }
  const grid = cellGrid(list, { answers: () => LABELS, judge: label });

  function tell(id, answer, says) {
    const { item, buttons, note } = grid.cells.get(id);
    item.dataset.label = answer;
    note.textContent = says;
    buttons.mark(answer);
  }
  function put(cell, picture) {
    const image = make("img", { src: picture, alt: `Cell ${cell.name}` });
    image.addEventListener("load", () => URL.revokeObjectURL(picture));  // no longer needed
    const buttons = answerButtons(LABELS, `Your label for ${cell.name}`, (answer) => label(cell.id, answer, false));
    const note = make("p", { class: "md-says" });
    const item = make("li", { class: "md-candidate", tabindex: "-1", "aria-label": cell.name },
      make("div", { class: "md-picture" }, image),
      make("div", { class: "md-body" }, make("h3", { class: "md-name", title: cell.name }, cell.name), note),
      buttons.group);
    grid.put(cell.id, { item, buttons, note, open: () => !item.dataset.label });
    list.append(item);
    tell(cell.id, cell.label, cell.says);
    if (grid.cells.size === 1) item.tabIndex = 0;
  }
  function fill(row) {
    return make("tr", { role: "row" }, make("th", { scope: "row", role: "rowheader" }, row[0]),
      ...row.slice(1).map((text, i) => make("td", { role: "cell", "data-name": head[i + 1] }, text)));
  }
  function showEstimate(one, inUse) {
    found.hidden = !one;
    estimate.textContent = one ? "Estimate again" : "Estimate the accuracy";
    if (!one) return;
    for (const [part, text] of [[verdict, one.sentence], [cost, one.cost], [basis, one.basis], [outdated, one.outdated]]) part.textContent = text;
    outdated.hidden = !one.outdated;
    found.dataset.better = one.better;
    worth.hidden = !one.better;
    rows.replaceChildren(...one.rows.map(fill));
    if (!choice.children.length) {
      choice.append(make("legend", {}, "Answers of:"), ...models.map((name, i) => {
        const radio = make("input", { type: "radio", name: "md-answers-of", value: name });
        radio.addEventListener("change", () => ask({ type: ["shipped", "adapted"][i] }));
        return make("label", { class: "md-blind" }, radio, name);
      }));
    }
    for (const radio of choice.querySelectorAll("input")) radio.checked = radio.value === inUse;
  }
  function show(state) {
    models = state.models;
    const busy = state.done < state.total;
    working.hidden = !busy;
    if (state.doing) progress.removeAttribute("value");
    else {
      progress.max = state.total || 1;
      progress.value = state.done;
    }
    const text = state.doing || `${state.done} of ${state.total} cells read`;
    if (working.lastChild.textContent !== text) working.lastChild.textContent = text;
    el.setAttribute("aria-busy", String(busy));
    if (sentence.textContent !== state.sentence) sentence.textContent = state.sentence;
    if (needed.textContent !== state.needed) needed.textContent = state.needed;
    bar.hidden = !state.cells;
    judged.hidden = !state.cells && !state.estimate;
    estimate.disabled = !state.enough || busy;
    get.disabled = busy;
    slide.disabled = Boolean(state.doing);
    refused.hidden = !state.refused.length;
    refused.firstChild.textContent = `Not used: ${state.refused.length}`;
    refused.lastChild.replaceChildren(...state.refused.map((one) => make("li", {}, one)));
    showEstimate(state.estimate, state.in_use);
    clearTimeout(silent);
    if (state.problem) trouble(state.problem);
  }
  function forget() {
    list.replaceChildren();
    grid.clear();
  }
  function hear(message, buffers) {
    if (message.type === "cell" && !grid.cells.has(message.id)) {
      put(message, URL.createObjectURL(new Blob([buffers[0]], { type: "image/png" })));
    }
    if (message.type === "labelled" && grid.cells.has(message.id)) tell(message.id, message.label, message.says);
    if (message.type === "state") show(message);
    if (message.type === "file") download(buffers[0], message.media, message.name);
    if (message.type === "clear") {
      forget();
      slide.focus();  // its button is gone
    }
  }
  model.on("msg:custom", hear);
  const silent = setTimeout(() => trouble(ENDED), 20000);
  signal.addEventListener("abort", () => { clearTimeout(silent); model.off("msg:custom", hear); forget(); });
  ask({ type: "hello" });
}

export default { render };
