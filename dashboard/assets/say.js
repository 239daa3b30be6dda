// Tells what has just been done, for a few seconds, and asks before what can't be undone.

import { fill, h } from "./dom.js";

const SECONDS = 8;
let timer = null;

/** Say it on screen and to a screen reader. */
export function say(words, bad = false) {
  const said = document.getElementById("said");
  clearTimeout(timer);
  fill(said, h("p", { class: bad ? "bad" : "good" }, words));
  timer = setTimeout(() => said.replaceChildren(), SECONDS * 1000);
}

/** Ask for a yes; resolves to whether it was given. Escape and the other button say no. */
export function ask(title, words, yes, { danger = false, no = "Keep it" } = {}) {
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
      dialog.removeEventListener("cancel", cancelled);
      dialog.removeEventListener("close", closed);
      dialog.close();
      dialog.replaceChildren();
      resolve(agreed);
    };
    // By Escape. A browser may leave this event out, and the next comes a little later: it may be
    // of the question before this one.
    const cancelled = (event) => {
      event.preventDefault();
      end(false);
    };
    const closed = () => dialog.open || end(false);
    dialog.addEventListener("cancel", cancelled);
    dialog.addEventListener("close", closed);
    refuse.addEventListener("click", () => end(false));
    agree.addEventListener("click", () => end(true));
    dialog.showModal();
  });
}
