// Shows confirmations for a few seconds, and asks questions.

import { fill, h } from "./dom.js";

const SECONDS = 8;
let timer = null;

/** Show a message, also to screen readers. */
export function say(words, bad = false) {
  const said = document.getElementById("said");
  clearTimeout(timer);
  fill(said, h("p", { class: bad ? "bad" : "good" }, words));
  timer = setTimeout(() => said.replaceChildren(), SECONDS * 1000);
}

/** Ask a question. Resolves to whether the user agreed. Escape and the other button mean no. */
export function ask(title, words, yes, { danger = false, no = "Cancel" } = {}) {
  const dialog = document.getElementById("ask");
  fill(dialog,
    h("h2", { id: "ask-title" }, title),
    h("p", {}, words),
    h("div", { class: "buttons" },
      h("button", { class: "plain", type: "button", value: "no" }, no),
      h("button", { class: danger ? "button danger" : "button", type: "button", value: "yes" }, yes)));
  const [refuse, agree] = dialog.querySelectorAll("button");
  return new Promise((resolve) => {
    const end = (agreed) => {
      dialog.removeEventListener("cancel", canceled);
      dialog.removeEventListener("close", closed);
      dialog.close();
      dialog.replaceChildren();
      resolve(agreed);
    };
    // Escape causes "cancel", which a browser may omit, and then "close". A "close" may arrive late and belong
    // to the previous question.
    const canceled = (event) => {
      event.preventDefault();
      end(false);
    };
    const closed = () => dialog.open || end(false);
    dialog.addEventListener("cancel", canceled);
    dialog.addEventListener("close", closed);
    refuse.addEventListener("click", () => end(false));
    agree.addEventListener("click", () => end(true));
    dialog.showModal();
  });
}
