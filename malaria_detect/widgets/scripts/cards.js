// A card for each picture, with summary, filter, progress, CSV and clear. Pictures and names come as messages and live
// in this view only; a new view says hello and gets all of them again.

const KINDS = [
  ["all", "All"],
  ["parasitized", "Looks parasitized"],
  ["doubtful", "Doubtful"],
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

function published(card) {
  const text = make("p", { class: "md-label", tabindex: "-1", hidden: "" },
    make("strong", {}, `Published label: ${card.label}. `), card.agrees);
  const reveal = button("Show the label", () => {
    text.hidden = false;
    text.focus();
    reveal.remove();
  }, "md-small");
  return make("div", { class: "md-reveal" }, reveal, text);
}

function draw(card, picture) {
  const body = make("div", { class: "md-body" },
    make("h3", { class: "md-name", title: card.name }, card.name),
    make("p", { class: "md-verdict" }, card.verdict, ...(card.doubtful ? [" ", make("span", { class: "md-chip" }, "Doubtful")] : [])));
  if (card.bars.length) body.append(make("dl", { class: "md-bars" }, ...card.bars.map((one) => bar(...one))));
  if (card.notes.length) body.append(make("ul", { class: "md-notes" }, ...card.notes.map((note) => make("li", {}, note))));
  if (card.size) body.append(make("p", { class: "md-size" }, card.size));
  if (card.label) body.append(published(card));
  const frame = make("div", { class: "md-picture" });
  if (picture) {
    const image = make("img", { src: picture, alt: `The picture ${card.name}` });
    image.addEventListener("load", () => URL.revokeObjectURL(picture));  // the image has it by then
    frame.append(image);
  }
  return make("li", { class: `md-card md-${card.kind}`, "data-kind": card.kind, "data-doubtful": String(card.doubtful) }, frame, body);
}

function download(text, name) {
  const url = URL.createObjectURL(new Blob([text], { type: "text/csv;charset=utf-8" }));
  make("a", { href: url, download: name }).click();
  // The browser has taken the text by then.
  setTimeout(() => URL.revokeObjectURL(url), 1000);
}

function render({ model, el, signal }) {
  const cards = new Map();
  let filter = "all";

  const empty = make("p", { class: "md-empty", tabindex: "-1" }, "No pictures yet. Each picture gets a card here, with what the model makes of it.");
  const progress = make("progress", { max: "1", value: "0", "aria-label": "Pictures checked" });
  const working = make("div", { class: "md-working", hidden: "" }, progress, make("span", {}));
  const problem = make("p", { role: "alert", class: "md-problem", hidden: "" });
  const sentence = make("p", { class: "md-sentence", role: "status", tabindex: "-1" });
  const caution = make("p", { class: "md-caution" });
  const filters = KINDS.map(([kind, name]) => [kind, name, button(name, () => choose(kind), "md-filter")]);
  const actions = make("div", { class: "md-actions" },
    button("Download CSV", () => ask({ type: "csv" })),
    button("Clear all", () => { ask({ type: "clear" }); }));
  const head = make("div", { class: "md-results", hidden: "" }, caution,
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
  const belongs = (card, kind) => kind === "all" || card.dataset.kind === kind || (kind === "doubtful" && card.dataset.doubtful === "true");
  function choose(kind) {
    filter = kind;
    for (const card of cards.values()) card.hidden = !belongs(card, kind);
    for (const [own, , chip] of filters) chip.setAttribute("aria-pressed", String(own === kind));
  }
  function forget() {
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

  model.on("msg:custom", (message, buffers) => {
    if (message.type === "csv") download(message.text, message.name);
    if (message.type === "clear") forget();
    if (message.type === "card" && !cards.has(message.id)) {
      const picture = buffers.length ? URL.createObjectURL(new Blob([buffers[0]], { type: "image/png" })) : "";
      const card = draw(message, picture);
      cards.set(message.id, card);
      list.append(card);
    }
    if (message.type === "state") {
      working.hidden = message.done >= message.total;
      progress.max = message.total || 1;
      progress.value = message.done;
      working.lastChild.textContent = `${message.done} of ${message.total} checked`;
      el.setAttribute("aria-busy", String(!working.hidden));
      // A screen reader speaks the sentence when it changes: at the start and at the end, not with every picture.
      if (sentence.textContent !== message.sentence) sentence.textContent = message.sentence;
      caution.textContent = message.caution;
      clearTimeout(silent);
      trouble(message.problem);
    }
    count();
    if (message.type === "clear") empty.focus();  // the button that was pressed is gone
  });
  count();
  const silent = setTimeout(() => trouble(ENDED), 20000);
  signal.addEventListener("abort", () => { clearTimeout(silent); forget(); });
  ask({ type: "hello" });
}

export default { render };
