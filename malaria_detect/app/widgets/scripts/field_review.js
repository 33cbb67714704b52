// The fields of a slide: counts, table, downloads, and the review of one field with its cells. Fields come as messages and exist
// in this view only; a new view says hello and asks for the field that it shows.

const VERDICTS = [["p", "Parasitized", "Parasitized"], ["u", "Uninfected", "Uninfected"], ["n", "Not a red cell", "Not a red cell"]];
const MODES = { split: "Draw a line across the selected cell.", add: "Click on the missed cell, or drag over it." };
const LEGEND = [["parasitized", "parasitized"], ["uninfected", "uninfected"], ["uninfected md-uncertain", "uncertain"], ["none", "no verdict yet"],
  ["other", "not a red cell"], ["uninfected md-edge", "on the edge, not counted"]];
const THUMB = 144;  // px

function render({ model, el, signal }) {
  const cells = new Map();
  const picture = new Image();
  let field = -1;  // the one that is shown
  let fields = [];
  let diameter = 1;
  let mode = "";

  const progress = make("progress", { max: "1", value: "0", "aria-label": "Fields analysed" });
  const working = make("div", { class: "md-working", hidden: "" }, progress, make("span", {}));
  const problem = make("p", { role: "alert", class: "md-problem", hidden: "" });
  const sentence = make("p", { class: "md-sentence", role: "status", tabindex: "-1" });
  const caution = make("p", { class: "md-caution" });
  const notes = make("ul", { class: "md-list" });
  const rows = make("tbody");
  const names = model.get("columns");
  const table = make("table", { class: "md-table", "aria-label": "Fields" }, make("thead", {}, make("tr", {}, ...names.map((name) => make("th", { scope: "col" }, name)))), rows);
  const refused = make("ul", { class: "md-cards" });
  const files = make("div", { class: "md-actions", role: "group", "aria-label": "Download" }, make("span", { class: "md-note" }, "Download:"),
    ...Object.entries(model.get("downloads")).map(([kind, name]) => button(name, () => { wait(true); ask({ type: "download", kind }); }, "md-small")));
  const results = make("div", { class: "md-results", hidden: "" },
    caution,
    make("section", { class: "md-slide" }, make("h3", {}, "What it means for the slide"), notes),
    files,
    table);

  const clear = make("div", { class: "md-actions", hidden: "" }, button("Clear all", () => ask({ type: "clear" }), "md-small"));

  const title = make("h3");
  const turns = [["Previous field", -1], ["Next field", 1]].map(([text, step]) => [step, button(text, () => ask({ type: "show", field: beside(step) }), "md-small")]);
  const says = make("p", { class: "md-says", "aria-live": "polite" });
  const verdicts = answerButtons(VERDICTS, "Your verdict on the selected cell", (answer) => { if (grid.current !== null) judge(grid.current, answer); });
  const split = button("Split", () => draw("split"));
  const add = button("Add a missed cell", () => draw("add"));
  const undo = button("Undo", () => correct({ type: "undo" }));
  const accept = button("Accept the rest", () => correct({ type: "accept" }));
  const shown = make("input", { type: "checkbox", checked: "" });
  const viewer = fieldViewer({
    choose: (id) => grid.focus(id),
    hover: (id) => tell(id ?? grid.current),
    drawn(kind, numbers) {
      draw("");
      correct(kind === "split" ? { type: kind, cell: grid.current, line: numbers } : { type: kind, box: numbers });
    },
  });
  const list = make("div", { class: "md-strip" });
  const work = make("section", { class: "md-work", hidden: "", "aria-label": "Review of a field" },
    make("div", { class: "md-review-bar" }, make("div", { class: "md-actions md-which" }, title, ...turns.map(([, one]) => one)),
      make("div", { class: "md-actions" }, button("−", () => viewer.zoom(1 / 1.5), "md-small"), button("+", () => viewer.zoom(1.5), "md-small"),
        button("Whole field", () => viewer.fit(), "md-small"), make("label", { class: "md-blind" }, shown, "Outlines"))),
    make("div", { class: "md-desk" },
      make("div", { class: "md-main" }, viewer.element, says,
        make("ul", { class: "md-legend" }, ...LEGEND.map(([look, name]) => make("li", {}, sample(look), name)))),
      make("div", { class: "md-side" },
        verdicts.group, make("div", { class: "md-actions" }, split, add, undo, accept), list)),
    keyHelp([["p", "parasitized"], ["u", "uninfected"], ["n", "not a red cell"], ["s", "split"], ["a", "add"], ["z", "undo"], ["← →", "move"],
      ["+ − 0", "zoom"], ["Shift ← →", "pan"], ["o", "outlines"], ["Esc", "stop drawing"]]));
  const empty = make("p", { class: "md-empty", tabindex: "-1" }, "No fields yet. Each field appears here as soon as it is analysed.");
  el.classList.add("malaria-detect", "md-results-part");
  el.replaceChildren(make("h2", { class: "md-hidden" }, "Results"), sentence, working, problem, work, results, refused, clear, empty,
    make("p", { class: "md-note" }, model.get("research_use")));
  keepKeys(el, signal);

  const toggle = () => { shown.checked = !shown.checked; viewer.outlines(shown.checked); };
  const grid = cellGrid(work, {
    answers: () => VERDICTS,
    judge,
    keys: { s: () => draw("split"), a: () => draw("add"), z: () => correct({ type: "undo" }), escape: () => draw(""), o: toggle,
      "+": () => viewer.zoom(1.5), "=": () => viewer.zoom(1.5), "-": () => viewer.zoom(1 / 1.5), 0: () => viewer.fit() },
    chosen(id) {
      viewer.choose(id);
      if (id !== null) viewer.centre(id, 8 * diameter);
      tell(id);
    },
    // The strip scrolls, not the page: on a phone, the field would move out of sight.
    reveal(item) {
      const [top, bottom] = [item.offsetTop - 8, item.offsetTop + item.offsetHeight + 8 - list.clientHeight];
      list.scrollTop = Math.max(bottom, Math.min(top, list.scrollTop));
    },
  });
  work.addEventListener("keydown", (event) => {
    const [right, down] = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] }[event.key] ?? [0, 0];
    if (!event.shiftKey || !(right || down)) return;
    viewer.pan(right, down);
    event.preventDefault();
  });
  shown.addEventListener("change", () => viewer.outlines(shown.checked));

  function trouble(text) {
    problem.textContent = text;
    problem.hidden = !text;
  }
  function ask(message) {
    trouble("");
    if (!send(model, message)) trouble(ENDED);
  }
  const correct = (message) => ask({ field, ...message });
  // With many large fields, a file takes seconds.
  function wait(on) {
    files.setAttribute("aria-busy", String(on));
    files.firstChild.textContent = on ? "Writing …" : "Download:";
    for (const one of files.querySelectorAll("button")) one.disabled = on;
  }
  function judge(cell, verdict) {
    correct({ type: "judge", cell, verdict });
    // Not when somebody changes a verdict: they look at this cell.
    if (!cells.get(cell).verdict) grid.goOnFrom(cell);
  }
  function draw(kind) {
    if (kind === "split" && grid.current === null) return trouble("Select the cell to split first.");
    mode = kind === mode ? "" : kind;
    viewer.draw(mode);
    split.setAttribute("aria-pressed", String(mode === "split"));
    add.setAttribute("aria-pressed", String(mode === "add"));
    tell(grid.current);
  }
  function tell(id) {
    const cell = cells.get(id);
    says.textContent = mode ? MODES[mode] : cell ? cell.says : "Select a cell in the field or in the list.";
    verdicts.mark(cells.get(grid.current)?.verdict);
    verdicts.disable(grid.current === null);
  }
  function sample(look) {
    const line = svg("svg", { viewBox: "0 0 28 12", class: "md-sample", "aria-hidden": "true" });
    line.append(svg("path", { class: `md-outline md-${look}`, d: "M2 6H26" }));
    return line;
  }

  function thumbnail(cell, canvas) {
    const [xs, ys] = [0, 1].map((odd) => cell.outline.filter((_, i) => i % 2 === odd));
    const [left, right, top, bottom] = [Math.min(...xs), Math.max(...xs), Math.min(...ys), Math.max(...ys)];
    const side = 1.25 * Math.max(right - left, bottom - top);
    const scale = picture.naturalWidth / fields[field].size[0];
    const box = [(left + right - side) / 2, (top + bottom - side) / 2, side, side].map((one) => one * scale);
    canvas.getContext("2d").drawImage(picture, ...box, 0, 0, THUMB, THUMB);
  }
  function fill(cell) {
    const { item, note } = grid.cells.get(cell.id);
    cells.set(cell.id, cell);
    viewer.fill(cell);
    item.className = `md-thumb md-${cell.look}${cell.uncertain ? " md-uncertain" : ""}`;
    item.setAttribute("aria-label", cell.says);
    item.title = cell.says;
    note.textContent = `${cell.verdict ? "✓ " : ""}${cell.short}`;
  }
  function put(cell, place) {
    const canvas = make("canvas", { width: THUMB, height: THUMB, "aria-hidden": "true" });
    const note = make("span");
    const item = make("li", { tabindex: "-1" }, canvas, note);
    item.addEventListener("click", () => { grid.focus(cell.id); viewer.centre(cell.id, 8 * diameter); });
    grid.put(cell.id, { item, note, open: () => !cells.get(cell.id).verdict });
    place.append(item);
    thumbnail(cell, canvas);
    fill(cell);
  }
  // Most urgent first. The order stays while the field is shown, so that no cell jumps away from the eye.
  function fillList(all, first) {
    grid.clear();
    cells.clear();
    list.replaceChildren();
    for (const [name, group] of [["Look at these first", first.map((id) => all.find((one) => one.id === id))],
      ["Other cells", all.filter((one) => !first.includes(one.id))]]) {
      const place = make("ol", { "aria-label": name });
      list.append(make("h4", {}, `${name} (${group.length})`), place);
      for (const cell of group) put(cell, place);
    }
    const [top] = grid.cells.keys();
    if (top !== undefined) grid.cells.get(top).item.tabIndex = 0;
    list.scrollTop = 0;
  }
  async function open(message, buffer) {
    const old = picture.src;
    picture.src = URL.createObjectURL(new Blob([buffer], { type: "image/jpeg" }));
    if (old) URL.revokeObjectURL(old);
    try { await picture.decode(); } catch { return; }  // another field was opened meanwhile
    // Not before: until now, a key is about the field that is still seen.
    field = message.field;
    diameter = message.diameter;
    title.textContent = message.name;
    viewer.show(picture.src, ...message.size);
    work.hidden = false;
    fillList(message.cells, message.first);
    undo.disabled = !message.undo;
    draw("");
    fillTable();
    el.dataset.field = field;
  }

  // The next field in a direction that was not refused, or undefined.
  function beside(step) {
    for (let at = field + step; at >= 0 && at < fields.length; at += step) if (!fields[at].refusal) return at;
  }
  function fillTable() {
    for (const [step, one] of turns) one.disabled = beside(step) === undefined;
    rows.replaceChildren(...fields.map((one, i) => [one, i]).filter(([one]) => !one.refusal).map(([one, i]) => {
      const name = button(one.name, () => ask({ type: "show", field: i }), "md-small md-open");
      name.setAttribute("aria-pressed", String(i === field));
      return make("tr", {}, make("th", { scope: "row" }, name), ...one.values.map((value, at) => make("td", { "data-name": names[at + 1] }, value)));
    }));
    refused.replaceChildren(...fields.filter((one) => one.refusal).map((one) => make("li", { class: "md-card md-refused" },
      make("div", { class: "md-body" }, make("h3", { class: "md-name" }, one.name), make("p", { class: "md-verdict" }, "Not analysed"),
        make("ul", { class: "md-notes" }, make("li", {}, one.refusal))))));
  }
  function show(state) {
    fields = state.fields;
    working.hidden = state.done >= state.total;
    progress.max = state.total || 1;
    progress.value = state.done;
    working.lastChild.textContent = `${state.done} of ${state.total} fields analysed`;
    el.setAttribute("aria-busy", String(!working.hidden));
    if (sentence.textContent !== state.sentence) sentence.textContent = state.sentence;
    caution.textContent = state.caution;
    caution.hidden = !state.caution;
    notes.replaceChildren(...state.notes.map((note) => make("li", {}, note)));
    results.hidden = !fields.some((one) => !one.refusal);
    clear.hidden = !fields.length && working.hidden;
    empty.hidden = !clear.hidden;
    clearTimeout(silent);
    if (state.problem) trouble(state.problem);
    fillTable();
    const first = fields.findIndex((one) => !one.refusal);
    if (field < 0 && first >= 0) ask({ type: "show", field: field = first });
  }
  function hear(message, buffers) {
    if (message.type === "state") show(message);
    if (message.type === "field") open(message, buffers[0]);
    if (message.type === "problem") trouble(message.message);
    if (message.type === "file") {
      wait(false);
      download(buffers[0], message.media, message.name);
    }
    if (message.type === "clear") {
      field = -1;
      work.hidden = true;
      empty.focus();
    }
    if (message.type === "cells" && message.field === field) {
      const lost = message.gone.includes(grid.current);
      for (const id of message.gone) {
        grid.remove(id);
        cells.delete(id);
        viewer.remove(id);
      }
      for (const cell of message.cells) grid.cells.has(cell.id) ? fill(cell) : put(cell, list.querySelector("ol"));
      undo.disabled = !message.undo;
      if (message.chosen !== null) grid.focus(message.chosen);
      else if (lost) viewer.element.focus({ preventScroll: true });  // its cell is gone, and keys must still be heard
      tell(grid.current);
    }
  }
  model.on("msg:custom", hear);
  const silent = setTimeout(() => trouble(ENDED), 20000);
  signal.addEventListener("abort", () => { clearTimeout(silent); model.off("msg:custom", hear); URL.revokeObjectURL(picture.src); });
  ask({ type: "hello" });
}

export default { render };
