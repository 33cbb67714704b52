// Text from the kernel: shown at once if it is written already, otherwise requested when it is about to be seen.

function render({ model, el, signal }) {
  const body = make("div", { class: "md-text" });
  const title = model.get("title");
  el.classList.add("malaria-detect");
  el.append(title ? make("details", { class: "md-fold" }, make("summary", {}, title), body) : body);
  const watch = new IntersectionObserver((entries) => {
    if (!entries.some((entry) => entry.isIntersecting)) return;
    watch.disconnect();
    if (!send(model, { type: "show" })) body.textContent = ENDED;
  }, { rootMargin: "800px" });
  function show() {
    const html = model.get("html");
    watch.disconnect();
    if (html) {
      body.innerHTML = html;
      body.removeAttribute("aria-busy");
    } else {
      if (!body.firstChild) body.textContent = "Loading …";
      body.setAttribute("aria-busy", "true");
      watch.observe(body);
    }
  }
  model.on("change:html", show);
  signal.addEventListener("abort", () => { watch.disconnect(); model.off("change:html", show); });
  show();
}

export default { render };
