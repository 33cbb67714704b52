// "Try some cells": a button, and a note about the cells that it loads.

function render({ model, el }) {
  const note = make("p", { role: "status", class: "md-note" });
  const tell = () => { note.textContent = model.get("note"); };
  tell();
  model.on("change:note", tell);
  el.classList.add("malaria-detect", "md-samples");
  el.replaceChildren(button("Try some cells", () => { if (!send(model, { type: "draw" })) note.textContent = ENDED; }), note);
}

export default { render };
