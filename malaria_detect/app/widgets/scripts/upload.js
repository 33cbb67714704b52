// Upload of images: a button, a drop area, the limits, and a message for everything that is not taken.

const MEGABYTE = 1024 * 1024;

const images = (n) => (n === 1 ? "1 image" : `${n} images`);

function render({ model, el, signal }) {
  const most = model.get("max_images");
  const bytes = model.get("max_bytes");
  const limits = `One cell per image. Up to ${most} images at a time, ${Math.floor(bytes / MEGABYTE)} MB each: ${model.get("formats")}.`;

  const input = make("input", { type: "file", multiple: "", accept: "image/*", hidden: "", "aria-label": "Images of cells" });
  const choose = button("Upload images", () => input.click(), "md-primary");
  const status = make("p", { role: "status", class: "md-note" });
  const problem = make("p", { role: "alert", class: "md-problem", hidden: "" });
  const area = make("div", { class: "md-drop" },
    make("div", { class: "md-drop-row" }, choose, make("span", { class: "md-or" }, "or drop them here")),
    make("p", { class: "md-limits" }, limits),
    status, problem);
  el.classList.add("malaria-detect", "md-upload");
  el.replaceChildren(input, area);

  let late;
  function tell(text = "", trouble = "") {
    clearTimeout(late);
    status.textContent = text;
    problem.textContent = trouble;
    problem.hidden = !trouble;
  }

  async function give(chosen) {
    if (!chosen.length) return;
    if (chosen.length > most) {
      return tell("", `You chose ${chosen.length} images; the limit is ${most} at a time. Nothing was uploaded. Choose fewer images.`);
    }
    const large = chosen.filter((file) => file.size > bytes);
    const files = chosen.filter((file) => file.size <= bytes);
    const left = large.length
      ? `Not uploaded, because larger than ${Math.floor(bytes / MEGABYTE)} MB: ${large.map((file) => file.name).join(", ")}.`
      : "";
    if (!files.length) return tell("", left);
    let buffers;
    try {
      buffers = await Promise.all(files.map((file) => file.arrayBuffer()));
    } catch {
      return tell("", "A file could not be read (is it a folder?). Nothing was uploaded. Choose again.");
    }
    tell(`Uploading ${images(files.length)} …`, left);
    if (!send(model, { type: "upload", names: files.map((file) => file.name) }, buffers)) return tell("", ENDED);
    // A kernel that the server has ended does not answer: wait as long as the files take at one megabit per second, plus
    // ten seconds.
    const size = files.reduce((sum, file) => sum + file.size, 0);
    late = setTimeout(() => tell("", `No answer. ${ENDED}`), 10000 + size / 125);
  }

  model.on("msg:custom", (message) => {
    if (message.type === "taken") tell("", problem.textContent);
    if (message.type === "refused") tell("", message.message);
  });
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
  signal.addEventListener("abort", () => clearTimeout(late));
}

export default { render };
