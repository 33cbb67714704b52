// Stands in front of every part's script. Texts go in as text nodes, so that no name or sentence is ever read as HTML.

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

// JupyterLab would take letters for its own, and d pressed twice deletes a cell of the notebook: it looks for this mark
// where the focus is, and only there.
function keepKeys(root, signal) {
  root.addEventListener("focusin", (event) => event.target.setAttribute("data-lm-suppress-shortcuts", "true"), { signal });
}

const ENDED = "The session has ended, perhaps after a long pause: reload the page and begin anew.";

// Once the kernel is gone, sending fails: then false comes back, and the visitor is to be told.
function send(model, message, buffers = []) {
  try {
    model.send(message, undefined, buffers);
    return true;
  } catch {
    return false;
  }
}

// Puts another part into an element. On a very busy machine a part takes longer to start than anywidget waits for it.
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
