// A card for each image, with summary, filter, progress, downloads and clear. Images and names come as messages and exist in
// this view only; a new view says hello and gets them again.

const KINDS = [
  ["all", "All"],
  ["parasitized", "Looks parasitized"],
  ["uncertain", "Uncertain"],
  ["uninfected", "No parasite found"],
  ["refused", "Not checked"],
];

function bar(name, percent, text, exact) {
  const fill = make("span", { class: "md-fill" });
  fill.style.width = `${percent}%`;
  return make("div", { class: `md-bar md-bar-${name.toLowerCase()}` },
    make("dt", {}, name),
    make("dd", {}, make("span", { class: "md-track", "aria-hidden": "true" }, fill), make("data", { value: exact }, text)));
}

// The published label, hidden until its button is pressed.
function published(label) {
  const agrees = document.createTextNode("");
  const text = make("p", { class: "md-label", tabindex: "-1", hidden: "" }, make("strong", {}, `Published label: ${label}. `), agrees);
  const reveal = button("Show the label", () => {
    text.hidden = false;
    text.focus();
    reveal.remove();
  }, "md-small");
  return [make("div", { class: "md-reveal" }, reveal, text), (words) => { agrees.data = words; }];
}

// One card. With the operating point its texts change; its picture stays, and what was unfolded stays unfolded.
function draw(card, picture, ask, lost, analyse) {
  const verdict = make("p", { class: "md-verdict" });
  const bars = make("dl", { class: "md-bars" });
  const notes = make("ul", { class: "md-notes" });
  const more = make("dl", { class: "md-more" });
  const body = make("div", { class: "md-body" }, make("h3", { class: "md-name", title: card.name }, card.name), verdict, bars, notes,
    make("details", { class: "md-details" }, make("summary", {}, "Details"), more));
  const [label, agree] = card.label ? published(card.label) : [null, () => {}];
  if (label) body.append(label);
  if (card.field) body.append(button("Analyse as a field", analyse, "md-small"));
  const frame = make("div", { class: "md-picture" });
  if (picture) {
    const image = make("img", { src: picture, alt: `Image ${card.name}` });
    image.addEventListener("load", () => URL.revokeObjectURL(picture));  // no longer needed
    frame.append(image);
  }
  const looked = ask && picture ? explanation(frame, ask, lost) : null;
  if (looked) notes.after(...looked.parts);
  const item = make("li", {}, frame, body);
  function tell(now) {
    item.className = `md-card md-${now.kind}`;
    item.dataset.kind = now.kind;
    item.dataset.uncertain = String(now.uncertain);
    verdict.replaceChildren(now.verdict, ...(now.uncertain ? [" ", make("span", { class: "md-chip" }, "Uncertain")] : []));
    bars.replaceChildren(...now.bars.map((one) => bar(...one)));
    notes.replaceChildren(...now.notes.map((note) => make("li", {}, note)));
    more.replaceChildren(...now.details.map(([name, text]) => make("div", {}, make("dt", {}, name), make("dd", {}, text))));
    for (const list of [bars, notes]) list.hidden = !list.children.length;
    more.parentElement.hidden = !more.children.length;
    agree(now.agrees);
    looked?.decide(now);
  }
  tell(card);
  return { item, tell, looked };
}

function render({ model, el, signal }) {
  const cards = new Map();
  let filter = "all";

  const empty = make("p", { class: "md-empty", tabindex: "-1" }, "No images yet. The result for each image appears here.");
  const progress = make("progress", { max: "1", value: "0", "aria-label": "Images checked" });
  const working = make("div", { class: "md-working", hidden: "" }, progress, make("span", {}));
  const problem = make("p", { role: "alert", class: "md-problem", hidden: "" });
  const sentence = make("p", { class: "md-sentence", role: "status", tabindex: "-1" });
  const caution = make("p", { class: "md-caution" });
  const filters = KINDS.map(([kind, name]) => [kind, name, button(name, () => choose(kind), "md-filter")]);
  const report = button("", () => fetchFile("report"));
  const actions = make("div", { class: "md-actions" },
    report,
    button("Download CSV", () => fetchFile("csv")),
    button("Clear all", () => { ask({ type: "clear" }); }));
  const meaning = make("ul", { class: "md-list" });
  const basis = make("p", { class: "md-note" });
  const slide = make("section", { class: "md-slide", hidden: "" }, make("h3", {}, "What it means for a slide"), meaning, basis);
  const head = make("div", { class: "md-results", hidden: "" }, caution, slide,
    make("div", { class: "md-toolbar" }, make("div", { role: "group", "aria-label": "Show", class: "md-filters" }, ...filters.map((f) => f[2])), actions));
  const list = make("ul", { class: "md-cards" });
  el.classList.add("malaria-detect", "md-results-part");
  el.replaceChildren(make("h2", { class: "md-hidden" }, "Results"), sentence, working, problem, head, empty, list);

  function trouble(text) {
    problem.textContent = text;
    problem.hidden = !text;
  }
  function ask(message) {
    if (!send(model, message)) trouble(ENDED);
  }
  let late;
  function settle() {
    clearTimeout(late);
    report.textContent = "Download report";
  }
  function fetchFile(type) {
    settle();
    // With many large images this takes seconds.
    if (type === "report") report.textContent = "Writing report …";
    ask({ type });
    // A kernel that the server has ended does not answer.
    late = setTimeout(() => { settle(); trouble(ENDED); }, 60000);
  }
  const look = (id) => () => ask({ type: "explain", id });
  const belongs = ({ item }, kind) => kind === "all" || item.dataset.kind === kind || (kind === "uncertain" && item.dataset.uncertain === "true");
  function choose(kind) {
    filter = kind;
    for (const card of cards.values()) card.item.hidden = !belongs(card, kind);
    for (const [own, , chip] of filters) chip.setAttribute("aria-pressed", String(own === kind));
  }
  function forget() {
    for (const card of cards.values()) card.looked?.stop();
    list.replaceChildren();
    cards.clear();
  }
  function count() {
    for (const [kind, name, chip] of filters) {
      const number = [...cards.values()].filter((card) => belongs(card, kind)).length;
      chip.textContent = `${name} ${number}`;
      chip.hidden = number === 0;
    }
    const any = cards.size > 0;
    head.hidden = !any;
    empty.hidden = any || !working.hidden;
    choose(any && filters.some(([kind, , chip]) => kind === filter && !chip.hidden) ? filter : "all");
  }

  function hear(message, buffers) {
    if (message.type === "csv" || message.type === "report") {
      settle();
      // Excel takes a file for UTF-8 only if it begins with this mark.
      if (message.type === "csv") download("\ufeff" + message.text, "text/csv;charset=utf-8", message.name);
      else download(buffers[0], "text/html;charset=utf-8", message.name);
      return;
    }
    if (message.type === "clear") forget();
    if (message.type === "card" && !cards.has(message.id)) {
      const picture = buffers.length ? URL.createObjectURL(new Blob([buffers[0]], { type: "image/png" })) : "";
      const card = draw(message, picture, model.get("explains") ? look(message.id) : null, () => trouble(ENDED), () => ask({ type: "field", id: message.id }));
      cards.set(message.id, card);
      list.append(card.item);
    }
    if (message.type === "explained") cards.get(message.id)?.looked.hear(message, buffers);
    if (message.type === "decided") for (const card of message.cards) cards.get(card.id)?.tell(card);
    if (message.type === "state") {
      working.hidden = message.done >= message.total;
      progress.max = message.total || 1;
      progress.value = message.done;
      working.lastChild.textContent = `${message.done} of ${message.total} checked`;
      el.setAttribute("aria-busy", String(!working.hidden));
      // A screen reader reads the sentence when it changes: at the start and at the end, not after every image.
      if (sentence.textContent !== message.sentence) sentence.textContent = message.sentence;
      caution.textContent = message.caution;
      slide.hidden = !message.slide.length;
      meaning.replaceChildren(...message.slide.slice(0, -1).map((sentence) => make("li", {}, sentence)));
      basis.textContent = message.slide.at(-1) ?? "";
      clearTimeout(silent);
      trouble(message.problem);
    }
    count();
    if (message.type === "clear") empty.focus();  // its button is gone
  }
  model.on("msg:custom", hear);
  settle();
  count();
  const silent = setTimeout(() => trouble(ENDED), 20000);
  signal.addEventListener("abort", () => { clearTimeout(silent); clearTimeout(late); model.off("msg:custom", hear); forget(); });
  ask({ type: "hello" });
}

export default { render };
