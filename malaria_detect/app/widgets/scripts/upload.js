// Upload of images of cells: all files chosen together go in one message.

const images = (n) => (n === 1 ? "1 image" : `${n} images`);

function render({ model, el, signal }) {
  const most = model.get("max_images");
  const bytes = model.get("max_bytes");
  let late;
  let left = "";
  const show = dropArea(el, {
    label: "Upload images",
    what: "Images of cells",
    limits: `One cell per image. Up to ${most} images at a time, ${Math.floor(bytes / MEGABYTE)} MB each: ${model.get("formats")}.`,
    give,
  });
  function tell(text = "", trouble = "") {
    clearTimeout(late);
    left = trouble;
    show(text, trouble);
  }

  async function give(chosen) {
    if (!chosen.length) return;
    if (chosen.length > most) {
      return tell("", `You chose ${chosen.length} images; the limit is ${most} at a time. Nothing was uploaded. Choose fewer images.`);
    }
    let [files, large] = withinLimit(chosen, bytes);
    if (large) large += " A photograph of a whole field belongs in the tab “Analyse a slide”.";
    if (!files.length) return tell("", large);
    const size = files.reduce((sum, file) => sum + file.size, 0);
    const total = model.get("max_total");
    if (size > total) {
      return tell("", `These images have more than ${Math.floor(total / MEGABYTE)} MB together. Nothing was uploaded. Choose fewer images.`);
    }
    let buffers;
    try {
      buffers = await Promise.all(files.map((file) => file.arrayBuffer()));
    } catch {
      return tell("", "A file could not be read (is it a folder?). Nothing was uploaded. Choose again.");
    }
    tell(`Uploading ${images(files.length)} …`, large);
    if (!send(model, { type: "upload", names: files.map((file) => file.name) }, buffers)) return tell("", ENDED);
    // A kernel that the server has ended does not answer: wait as long as the files take at one megabit per second, plus
    // ten seconds.
    late = setTimeout(() => tell("", `No answer. ${ENDED}`), 10000 + size / 125);
  }

  model.on("msg:custom", (message) => {
    if (message.type === "taken") tell("", left);
    if (message.type === "refused") tell("", message.message);
  });
  signal.addEventListener("abort", () => clearTimeout(late));
}

export default { render };
