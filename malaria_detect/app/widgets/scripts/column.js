// Widgets one below the other.

async function render({ model, el, host, signal }) {
  el.classList.add("malaria-detect", "md-column");
  await Promise.all(model.get("parts").map((part) => place(host, part, el.appendChild(make("div")), signal)));
}

export default { render };
