// Cells with a verdict on each: one of them is current and can be reached with Tab, arrows move, letters answer. Used by the
// label review and by the review of fields.

function keyHelp(pairs) {
  return make("p", { class: "md-keys" }, ...pairs.flatMap(([key, meaning], i) => [i ? ", " : "Keys: ", make("kbd", {}, key), ` ${meaning}`]), ".");
}

// Buttons for the answers [key, text, answer]; mark() shows which of them are given.
function answerButtons(answers, label, judge) {
  const buttons = answers.map(([, text, answer]) => [answer, button(text, () => judge(answer))]);
  return {
    group: make("div", { class: "md-answers", role: "group", "aria-label": label }, ...buttons.map(([, one]) => one)),
    mark: (...given) => { for (const [answer, one] of buttons) one.setAttribute("aria-pressed", String(given.includes(answer))); },
    disable: (off) => { for (const [, one] of buttons) one.disabled = off; },
  };
}

// root: where keys are heard. answers(): [key, text, answer]. judge(id, answer). keys: functions of further keys. chosen(id): the
// current cell is another one. reveal(item), optional: scrolls to a cell instead of the browser.
function cellGrid(root, { answers, judge, keys = {}, chosen = () => {}, reveal }) {
  const cells = new Map();  // id: { item, refused, open() }, in their order
  let current = null;

  function mark(id) {
    const other = id !== current;
    current = id;
    for (const [key, { item }] of cells) {
      item.tabIndex = key === id ? 0 : -1;
      item.toggleAttribute("data-current", key === id);
    }
    if (other) chosen(id);
  }
  function focus(id) {
    mark(id);
    cells.get(id).item.focus({ preventScroll: Boolean(reveal) });
    reveal?.(cells.get(id).item);
  }
  function put(id, cell) {
    cell.item.addEventListener("focusin", () => mark(id));
    cells.set(id, cell);
  }
  // The next cell without an answer, false if there is none.
  function goOnFrom(id) {
    const order = [...cells.keys()];
    const at = order.indexOf(id) + 1;
    const next = [...order.slice(at), ...order.slice(0, at)].find((key) => !cells.get(key).refused && cells.get(key).open());
    if (next === undefined) return false;
    focus(next);
    return true;
  }
  // Left and right follow the order, up and down go to the nearest cell of the row.
  function move(key) {
    const order = [...cells.keys()];
    if (!cells.has(current)) return order.length && focus(order[0]);
    const step = { ArrowLeft: -1, ArrowRight: 1 }[key];
    if (step) return cells.has(order[order.indexOf(current) + step]) && focus(order[order.indexOf(current) + step]);
    const place = (id) => cells.get(id).item.getBoundingClientRect();
    const here = place(current);
    const [nearest] = order.map((id) => [id, place(id)])
      .filter(([, there]) => (key === "ArrowUp" ? there.bottom <= here.top : there.top >= here.bottom))
      .map(([id, there]) => [id, Math.abs(there.top - here.top) * 1000 + Math.abs(there.left - here.left)])
      .sort((one, other) => one[1] - other[1]);
    if (nearest) focus(nearest[0]);
  }

  root.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const key = event.key.toLowerCase();
    const [, , answer] = answers().find(([own]) => own === key) ?? [];
    if (answer && !event.repeat) { if (cells.has(current) && !cells.get(current).refused) judge(current, answer); }
    else if (keys[key] && !event.repeat) keys[key](current);
    else if (event.key.startsWith("Arrow") && !event.shiftKey) move(event.key);
    else return;
    event.preventDefault();
    event.stopPropagation();
  });

  function remove(id) {
    cells.get(id).item.remove();
    cells.delete(id);
    if (id === current) current = null;
  }

  return { cells, put, mark, focus, goOnFrom, remove, get current() { return current; }, clear() { cells.clear(); current = null; } };
}
