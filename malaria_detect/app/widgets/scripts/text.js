// Text that the kernel writes when it is about to come into sight, and anew when the kernel says that it has changed.

function render({ model, el, signal }) {
  el.classList.add("malaria-detect", "md-text");
  el.textContent = "Drawing …";
  const watch = new IntersectionObserver((entries) => {
    if (!entries.some((entry) => entry.isIntersecting)) return;
    watch.disconnect();
    if (!send(model, { type: "show" })) el.textContent = ENDED;
  }, { rootMargin: "1500px" });  // a little before, so that who scrolls down finds it drawn
  function look() {
    el.setAttribute("aria-busy", "true");
    watch.disconnect();  // so that an element that is in sight already is told of anew
    watch.observe(el);
  }
  function hear(message) {
    if (message.type === "stale") look();
    if (message.type !== "html") return;
    el.innerHTML = message.html;
    el.removeAttribute("aria-busy");
  }
  model.on("msg:custom", hear);
  signal.addEventListener("abort", () => { watch.disconnect(); model.off("msg:custom", hear); });
  look();
}

export default { render };
