// A button and a drop area for files, with their limits and messages. Calls give(files) for what is chosen or dropped.

const MEGABYTE = 1024 * 1024;

function dropArea(el, { label, what, limits, give, extra = [] }) {
  const input = make("input", { type: "file", multiple: "", accept: "image/*", hidden: "", "aria-label": what });
  const status = make("p", { role: "status", class: "md-note" });
  const problem = make("p", { role: "alert", class: "md-problem", hidden: "" });
  const area = make("div", { class: "md-drop" },
    make("div", { class: "md-drop-row" }, button(label, () => input.click(), "md-primary"), make("span", { class: "md-or" }, "or drop them here")),
    make("p", { class: "md-limits" }, limits),
    ...extra, status, problem);
  el.classList.add("malaria-detect", "md-upload");
  el.replaceChildren(input, area);

  input.addEventListener("change", () => {
    const chosen = [...input.files];
    // Lets the visitor choose the same file again.
    input.value = "";
    give(chosen);
  });
  let depth = 0;
  const over = (change) => { depth += change; area.classList.toggle("md-over", depth > 0); };
  area.addEventListener("dragenter", (event) => { event.preventDefault(); over(1); });
  area.addEventListener("dragleave", () => over(-1));
  area.addEventListener("dragover", (event) => event.preventDefault());
  area.addEventListener("drop", (event) => {
    event.preventDefault();
    event.stopPropagation();
    over(-depth);
    give([...event.dataTransfer.files]);
  });

  return function tell(text = "", trouble = "") {
    status.textContent = text;
    problem.textContent = trouble;
    problem.hidden = !trouble;
  };
}

// Files within the limit, and a sentence about the others.
function withinLimit(chosen, bytes) {
  const large = chosen.filter((file) => file.size > bytes);
  const left = large.length
    ? `Not uploaded, because larger than ${Math.floor(bytes / MEGABYTE)} MB: ${large.map((file) => file.name).join(", ")}.`
    : "";
  return [chosen.filter((file) => file.size <= bytes), left];
}
