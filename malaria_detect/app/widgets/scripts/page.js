// The frame of the page: title, research-use line, and tabs (WAI-ARIA tab pattern).

let count = 0;

async function render({ model, el, host, signal }) {
  const id = `md-page-${++count}`;
  const names = model.get("names");
  el.classList.add("malaria-detect", "md-page");
  keepKeys(el, signal);

  const tabs = names.map((name, i) =>
    make("button", { type: "button", role: "tab", id: `${id}-tab-${i}`, "aria-controls": `${id}-view-${i}`, class: "md-tab" }, name));
  const views = names.map((_, i) =>
    make("div", { role: "tabpanel", id: `${id}-view-${i}`, "aria-labelledby": `${id}-tab-${i}`, tabindex: "0", class: "md-view" }));

  function show(chosen) {
    tabs.forEach((tab, i) => {
      tab.setAttribute("aria-selected", String(i === chosen));
      tab.tabIndex = i === chosen ? 0 : -1;
      views[i].hidden = i !== chosen;
    });
  }
  tabs.forEach((tab, i) => {
    tab.addEventListener("click", () => show(i));
    tab.addEventListener("keydown", (event) => {
      const last = tabs.length - 1;
      const next = { ArrowRight: i === last ? 0 : i + 1, ArrowLeft: i === 0 ? last : i - 1, Home: 0, End: last }[event.key];
      if (next === undefined) return;
      event.preventDefault();
      show(next);
      tabs[next].focus();
    });
  });
  show(0);
  const hear = (message) => { if (message.type === "show") { show(message.tab); tabs[message.tab].focus(); } };
  model.on("msg:custom", hear);
  signal.addEventListener("abort", () => model.off("msg:custom", hear));

  el.replaceChildren(
    make("p", { class: "md-research" }, model.get("research_use")),
    make("header", { class: "md-header" },
      make("span", { class: "md-logo", "aria-hidden": "true" }),
      make("div", {}, make("h1", {}, model.get("title")), make("p", { class: "md-subtitle" }, model.get("subtitle")))),
    ...(tabs.length > 1 ? [make("div", { role: "tablist", "aria-label": "Views", class: "md-tabs" }, ...tabs)] : []),
    ...views,
  );
  // A file dropped outside the drop area would otherwise replace the page.
  for (const kind of ["dragover", "drop"]) el.addEventListener(kind, (event) => event.preventDefault(), { signal });

  let shown = [];
  const ends = [];
  // Places the views that are not shown yet; the others stay as they are.
  async function fill() {
    const before = shown;
    shown = model.get("views");
    await Promise.all(shown.map((part, i) => {
      if (part === before[i]) return null;
      ends[i]?.abort();
      ends[i] = new AbortController();
      signal.addEventListener("abort", () => ends[i].abort());
      const el = make("div");
      views[i].replaceChildren(el);
      return place(host, part, el, ends[i].signal);
    }));
  }
  model.on("change:views", fill);
  signal.addEventListener("abort", () => model.off("change:views", fill));
  await fill();
  el.setAttribute("data-md-ready", "");
}

export default { render };
