// Upload of photographs of fields. The kernel asks for each part ("want"); a question without an answer is repeated.

const PATIENCE = 10000;  // ms until a question is repeated
const REPEATS = 6;

function render({ model, el, signal }) {
  const most = model.get("max_files");
  const bytes = model.get("max_bytes");
  const part = model.get("part_bytes");
  const files = new Map();  // by id, until the kernel has them
  const offered = new Set();  // ids that the kernel knows
  let all = 0;  // bytes of this upload
  let late;
  let left = "";
  const progress = make("progress", { max: "1", value: "0", hidden: "", "aria-label": "Uploaded" });
  const show = dropArea(el, {
    label: "Upload photographs",
    what: "Photographs of fields",
    limits: `Photographs of one thin smear, as the camera made them. Up to ${most} a slide, ${Math.floor(bytes / MEGABYTE)} MB each: ${model.get("formats")}.`,
    give,
    extra: [progress],
  });
  function tell(text = "", trouble = left) {
    left = trouble;
    show(text, trouble);
  }
  function lost() {
    clearTimeout(late);
    files.clear();
    progress.hidden = true;
    tell("", `The connection was lost. What is already analysed stays on the page. ${ENDED}`);
  }
  function ask(message, buffers = [], repeats = REPEATS) {
    clearTimeout(late);
    if (!send(model, message, buffers) || !repeats) return lost();
    late = setTimeout(() => ask({ type: "hello" }, [], repeats - 1), PATIENCE);
  }

  function give(chosen) {
    if (!chosen.length) return;
    const [taken, large] = withinLimit(chosen, bytes);
    tell("", large);
    if (!files.size) all = 0;
    const offer = taken.map((file) => ({ id: `${Math.random()}`, name: file.name, size: file.size }));
    offer.forEach(({ id }, i) => files.set(id, taken[i]));
    all += taken.reduce((sum, file) => sum + file.size, 0);
    if (taken.length) ask({ type: "offer", files: offer });
  }

  async function answer({ file: id, at, left: waiting }) {
    clearTimeout(late);
    waiting.forEach((key) => offered.add(key));
    for (const key of files.keys()) if (offered.has(key) && !waiting.includes(key)) files.delete(key);
    const rest = [...files.values()].reduce((sum, file) => sum + file.size, 0) - at;
    progress.hidden = !files.size;
    progress.max = all || 1;
    progress.value = all - rest;
    tell(files.size ? `Uploading: ${files.size} left${id ? "" : ", waiting for the analysis"} …` : "");
    const file = files.get(id);
    if (!file) return;
    try {
      const buffer = await file.slice(at, at + part).arrayBuffer();
      ask({ type: "part", file: id, at }, [buffer]);
    } catch {
      tell("", `${file.name} could not be read (was it moved, or is it a folder?). The others are uploaded.`);
      files.delete(id);
      ask({ type: "skip", file: id });
    }
  }

  const hear = (message) => {
    if (message.type === "want") answer(message);
    if (message.type === "refused") {
      for (const id of message.files) files.delete(id);
      tell("", message.message);
    }
  };
  model.on("msg:custom", hear);
  signal.addEventListener("abort", () => { clearTimeout(late); model.off("msg:custom", hear); });
}

export default { render };
