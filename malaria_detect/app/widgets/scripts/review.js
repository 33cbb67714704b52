// Label review: a page of cells and an answer to each. In blind mode the kernel sends labels only after an answer.

const OPEN = [["a", "Agree", "agree"], ["d", "Disagree", "disagree"], ["u", "Unsure", "unsure"]];
const BLIND = [["p", "Parasite", "Parasitized"], ["n", "No parasite", "Uninfected"], ["u", "Unsure", "unsure"]];

function render({ model, el, signal }) {
  let page = 0;
  let pages = 1;
  let wanted = null;  // where the focus goes after the next message

  const answers = () => (model.get("blind") ? BLIND : OPEN);
  const sentence = make("p", { class: "md-sentence", role: "status" });
  const saved = make("p", { class: "md-note" });
  const progress = make("progress", { max: "1", value: "0", "aria-label": "Candidates reviewed" });
  const question = make("div");
  const problem = make("p", { role: "alert", class: "md-problem", hidden: "" });
  const check = make("input", { type: "checkbox" });
  const list = make("ol", { class: "md-candidates", "aria-label": "Candidates" });
  const undo = button("Undo", () => ask({ type: "undo" }));
  const turns = [0, 1].map(() => {
    const place = make("span", { class: "md-note" });
    const back = button("Previous", () => turn(page - 1));
    const on = button("Next", () => turn(page + 1));
    return { place, back, on, bar: make("div", { class: "md-turn" }, back, place, on) };
  });
  el.classList.add("malaria-detect", "md-review");
  el.replaceChildren(
    make("p", { class: "md-research" }, model.get("research_use")),
    make("div", { class: "md-review-head" }, make("h2", {}, "Label review"), question, sentence, progress, saved),
    problem,
    make("div", { class: "md-review-bar" },
      make("label", { class: "md-blind" }, check, "Blind: show label, patient and model only after my answer"), turns[0].bar),
    list, turns[1].bar);
  turns[0].bar.prepend(undo);
  keepKeys(el, signal);

  function trouble(text) {
    problem.textContent = text;
    problem.hidden = !text;
  }
  function ask(message) {
    if (!send(model, message)) trouble(ENDED);
  }
  function turn(to) {
    wanted = "first";
    ask({ type: "page", page: to });
  }
  function judge(position, answer, goOn = true) {
    wanted = goOn ? position : null;
    ask({ type: "verdict", position, answer });
  }
  const grid = cellGrid(list, { answers, judge, keys: { z: () => ask({ type: "undo" }) } });
  function explain() {
    check.checked = model.get("blind");
    question.replaceChildren(
      make("p", {}, model.get("blind")
        ? "What does each cell show? The published label, the patient and the model's probability stay hidden until you answer."
        : "Is the published label right? Models trained on other patients gave these labels a low probability."),
      keyHelp([...answers().map(([key, text]) => [key, text.toLowerCase()]), ["← →", "move"], ["z", "undo"]]));
  }
  function fill(card, content) {
    card.item.dataset.verdict = content.verdict;
    card.title.replaceChildren(make("span", {}, `Candidate ${content.position + 1}`),
      ...(content.verdict ? [make("span", { class: "md-chip" }, `You ${{ agree: "agree", disagree: "disagree", unsure: "are unsure" }[content.verdict]}`)] : []));
    card.facts.replaceChildren(content.facts.length
      ? make("dl", {}, ...content.facts.flatMap(([name, value]) => [make("dt", {}, name), make("dd", {}, value)]))
      : make("p", { class: "md-hidden-facts" }, "The label appears after your answer."));
    card.buttons.mark(content.verdict, content.shows);
  }
  function draw(content, picture) {
    const frame = make("div", { class: "md-picture" });
    if (picture) {
      const image = make("img", { src: picture, alt: `Cell of candidate ${content.position + 1}` });
      image.addEventListener("load", () => URL.revokeObjectURL(picture));  // no longer needed
      frame.append(image);
    } else frame.append(make("p", { class: "md-refusal" }, content.refusal));
    const buttons = answerButtons(answers(), `Your answer to candidate ${content.position + 1}`, (answer) => judge(content.position, answer, false));
    buttons.disable(!picture);
    const title = make("h3");
    const facts = make("div");
    const item = make("li", { class: "md-candidate", tabindex: "-1" }, frame,
      make("div", { class: "md-body" }, title, facts),
      buttons.group);
    const card = { item, title, facts, buttons, refused: !picture, open: () => !item.dataset.verdict };
    grid.put(content.position, card);
    fill(card, content);
    return item;
  }
  check.addEventListener("change", () => {
    model.set("blind", check.checked);
    model.save_changes();
  });
  model.on("change:blind", explain);

  model.on("msg:custom", (message, buffers) => {
    if (message.type === "page") {
      ({ page, pages } = message);
      grid.clear();
      const pictures = buffers.map((buffer) => URL.createObjectURL(new Blob([buffer], { type: "image/png" })));
      list.replaceChildren(...message.cards.map((content) => draw(content, content.refusal ? "" : pictures.shift())));
      const [first] = grid.cells.keys();
      grid.mark(first);
      for (const { place, back, on } of turns) {
        place.textContent = `Page ${page + 1} of ${pages}`;
        back.disabled = page === 0;
        on.disabled = page + 1 === pages;
      }
      if (wanted === "first") {
        list.scrollIntoView({ block: "nearest" });
        grid.focus(first);
      }
      wanted = null;
      el.setAttribute("data-md-ready", "");
    }
    if (message.type === "card" && grid.cells.has(message.card.position)) {
      fill(grid.cells.get(message.card.position), message.card);
      // After the last one, the button to the next page.
      if (wanted === message.card.position && message.card.verdict && !grid.goOnFrom(wanted)) (turns[1].on.disabled ? undo : turns[1].on).focus();
      wanted = null;
    }
    if (message.type === "state") {
      sentence.textContent = message.sentence;
      saved.textContent = message.saved;
      progress.max = message.total;
      progress.value = message.done;
      undo.disabled = !message.undo;
      clearTimeout(silent);
      trouble(message.problem);
    }
  });
  const silent = setTimeout(() => trouble(ENDED), 20000);
  signal.addEventListener("abort", () => clearTimeout(silent));
  explain();
  ask({ type: "hello" });
}

export default { render };
