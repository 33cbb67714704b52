// Shared by all widgets. Texts are inserted as text nodes, so no file name is ever interpreted as HTML.

function make(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  element.append(...children);
  return element;
}

function button(text, act, kind = "") {
  const element = make("button", { type: "button", class: `md-button ${kind}` }, text);
  element.addEventListener("click", act);
  return element;
}

// Keeps JupyterLab from using typed letters as shortcuts (d twice deletes a cell): it looks for this mark on the focused
// element.
function keepKeys(root, signal) {
  root.addEventListener("focusin", (event) => event.target.setAttribute("data-lm-suppress-shortcuts", "true"), { signal });
}

const ENDED = "The session has ended, perhaps after a long pause. Reload the page to start again.";

// False if the kernel is gone; then the visitor has to be told.
function send(model, message, buffers = []) {
  try {
    model.send(message, undefined, buffers);
    return true;
  } catch {
    return false;
  }
}

// Renders another widget in an element. On a busy machine a widget starts more slowly than anywidget waits, so it retries.
async function place(host, reference, el, signal) {
  for (let left = 5; ; left--) {
    try {
      const part = await host.getWidget(reference);
      return part.render({ el, signal });
    } catch (error) {
      if (!left || signal.aborted) throw error;
    }
  }
}

// Lets the browser save a file.
function download(content, type, name) {
  const url = URL.createObjectURL(new Blob([content], { type }));
  make("a", { href: url, download: name }).click();
  // By then the browser has the content.
  setTimeout(() => URL.revokeObjectURL(url), 10000);
}
