// A field with the outlines of its cells: zoom and pan with mouse, touch and keys; draw a line or a box. Coordinates are
// pixels of the field as stored, whatever the size of the picture shown.

const SLIP = 6;  // px on the screen: less is a click

function svg(tag, attributes = {}) {
  const element = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  return element;
}

// choose(id): a cell was clicked. hover(id or null). drawn(kind, [x1, y1, x2, y2]): a line for "split", a box for "add".
function fieldViewer({ choose, hover, drawn }) {
  const image = svg("image", { preserveAspectRatio: "none" });
  const outlines = svg("g", { class: "md-outlines" });
  const line = svg("path", { class: "md-drawn" });
  const element = svg("svg", { class: "md-field", tabindex: "0", role: "img", "aria-label": "Field with the outlines of its cells" });
  element.append(image, outlines, line);
  const paths = new Map();
  const pointers = new Map();
  let size = [1, 1];
  let view = { x: 0, y: 0, w: 1, h: 1 };
  let mode = "";
  let start = null;  // of the drag: point in the field, on the screen, and the cell below
  let moved = false;

  function look(x, y, w) {
    const [width, height] = size;
    w = Math.min(width, Math.max(width / 40, w));
    const h = w * height / width;
    view = { x: Math.min(width - w, Math.max(0, x)), y: Math.min(height - h, Math.max(0, y)), w, h };
    element.setAttribute("viewBox", `${view.x} ${view.y} ${view.w} ${view.h}`);
    // One finger scrolls the page as long as the whole field is shown.
    element.style.touchAction = mode || w < width ? "none" : "pan-x pan-y";
  }
  function zoom(factor, x = view.x + view.w / 2, y = view.y + view.h / 2) {
    const w = Math.min(size[0], Math.max(size[0] / 40, view.w / factor));
    look(x - (x - view.x) * w / view.w, y - (y - view.y) * w / view.w, w);
  }
  const pan = (right, down) => look(view.x + right, view.y + down, view.w);
  function at(event) {
    const { x, y } = new DOMPoint(event.clientX, event.clientY).matrixTransform(element.getScreenCTM().inverse());
    return [x, y];
  }
  function sketch(to) {
    const [[x1, y1], [x2, y2]] = [start.point, to];
    const [cx, cy, rx, ry] = [(x1 + x2) / 2, (y1 + y2) / 2, Math.abs(x2 - x1) / 2, Math.abs(y2 - y1) / 2];
    line.setAttribute("d", mode === "split"
      ? `M${x1} ${y1}L${x2} ${y2}`
      : `M${cx - rx} ${cy}a${rx} ${ry} 0 1 0 ${2 * rx} 0a${rx} ${ry} 0 1 0 ${-2 * rx} 0`);
  }
  const between = () => {
    const [one, other] = [...pointers.values()];
    return { clientX: (one.clientX + other.clientX) / 2, clientY: (one.clientY + other.clientY) / 2,
      apart: Math.hypot(one.clientX - other.clientX, one.clientY - other.clientY) };
  };

  element.addEventListener("pointerdown", (event) => {
    element.focus({ preventScroll: true });
    pointers.set(event.pointerId, event);
    if (pointers.size > 1) { start = null; line.removeAttribute("d"); return; }
    start = { point: at(event), x: event.clientX, y: event.clientY, cell: event.target.dataset.id };
    moved = false;
  });
  element.addEventListener("pointermove", (event) => {
    if (!pointers.has(event.pointerId)) return hover(event.target.dataset.id ? Number(event.target.dataset.id) : null);
    const before = pointers.size === 2 ? between() : null;
    pointers.set(event.pointerId, event);
    if (before) {
      const now = between();
      const [x, y] = at(before);
      zoom(now.apart / Math.max(1, before.apart), x, y);
      const [there, below] = at(now);
      return pan(x - there, y - below);
    }
    if (!start) return;
    if (!moved && Math.hypot(event.clientX - start.x, event.clientY - start.y) < SLIP) return;
    if (!moved) element.setPointerCapture(event.pointerId);
    moved = true;
    const [x, y] = at(event);
    if (mode) sketch([x, y]);
    else pan(start.point[0] - x, start.point[1] - y);
  });
  function lift(event) {
    pointers.delete(event.pointerId);
    line.removeAttribute("d");
    if (!start || event.type === "pointercancel") { start = null; return; }
    const [x, y] = at(event);
    if (mode && (moved || mode === "add")) drawn(mode, [...start.point, ...(moved ? [x, y] : start.point)]);
    else if (!moved && start.cell) choose(Number(start.cell));
    start = null;
  }
  element.addEventListener("pointerup", lift);
  element.addEventListener("pointercancel", lift);
  element.addEventListener("pointerleave", () => hover(null));
  element.addEventListener("wheel", (event) => {
    // Otherwise the wheel scrolls the page, until the field has the focus.
    if (!event.ctrlKey && element.getRootNode().activeElement !== element) return;
    event.preventDefault();
    zoom(Math.exp(-event.deltaY / (event.ctrlKey ? 100 : 400)), ...at(event));
  }, { passive: false });
  element.addEventListener("dblclick", (event) => { if (!mode) zoom(2, ...at(event)); });

  return {
    element,
    zoom,
    fit: () => look(0, 0, size[0]),
    pan: (right, down) => pan(right * view.w / 8, down * view.h / 8),
    show(url, width, height) {
      size = [width, height];
      for (const [name, value] of Object.entries({ href: url, width, height })) image.setAttribute(name, value);
      element.style.aspectRatio = `${width} / ${height}`;
      outlines.replaceChildren();
      paths.clear();
      look(0, 0, width);
    },
    fill(cell) {
      if (!paths.has(cell.id)) paths.set(cell.id, outlines.appendChild(svg("path", { "data-id": cell.id })));
      const path = paths.get(cell.id);
      const corners = [];
      for (let i = 0; i < cell.outline.length; i += 2) corners.push(`${cell.outline[i]} ${cell.outline[i + 1]}`);
      path.setAttribute("d", `M${corners.join("L")}Z`);
      path.setAttribute("class", `md-outline md-${cell.look}${cell.uncertain ? " md-uncertain" : ""}${cell.edge ? " md-edge" : ""}`);
    },
    remove(id) {
      paths.get(id)?.remove();
      paths.delete(id);
    },
    // The chosen outline is drawn last, above its neighbours.
    choose(id) {
      for (const [key, path] of paths) path.toggleAttribute("data-current", key === id);
      if (paths.has(id)) outlines.append(paths.get(id));
    },
    centre(id, width) {
      const box = paths.get(id).getBBox();
      const w = Math.min(view.w, width);
      look(box.x + box.width / 2 - w / 2, box.y + box.height / 2 - w * size[1] / size[0] / 2, w);
    },
    draw(kind) {
      mode = kind;
      element.classList.toggle("md-drawing", Boolean(kind));
      look(view.x, view.y, view.w);
    },
    outlines(on) { outlines.style.visibility = on ? "" : "hidden"; },
  };
}
