// Text that the kernel writes when it first comes into sight.

function render({ model, el, signal }) {
  el.classList.add("malaria-detect", "md-text");
  el.setAttribute("aria-busy", "true");
  el.textContent = "Drawing …";
  model.on("msg:custom", (message) => {
    if (message.type !== "html") return;
    el.innerHTML = message.html;
    el.removeAttribute("aria-busy");
  });
  const watch = new IntersectionObserver((entries) => {
    if (!entries.some((entry) => entry.isIntersecting)) return;
    watch.disconnect();
    if (!send(model, { type: "show" })) el.textContent = ENDED;
  });
  watch.observe(el);
  signal.addEventListener("abort", () => watch.disconnect());
}

export default { render };
