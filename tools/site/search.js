// Show the pages that have any of the words, each with its best section. A rare word counts for more
// than a frequent one.
import * as pagefind from "./pagefind/pagefind.js";

const SHOWN = 12;
const STOP_WORDS = new Set(
  (
    "a about am an and any are as at be by can could did do does each for from get had has have how i if in into is " +
    "it its let make many may me much must my need no not of on or our ours should so some than that the their them " +
    "then there they this to us use was we were what when where which who whose why will with without would you your"
  ).split(" "),
);

// What people type, and the words of the pages.
const SYNONYMS = {
  cron: "schedule", email: "e-mail", emails: "e-mail", mail: "e-mail", env: "configuration", environment: "configuration",
  variable: "configuration", variables: "configuration", openai: "llm", anthropic: "llm", gpt: "llm", cost: "estimated",
  price: "estimated", pricing: "estimated", hello: "quickstart", world: "quickstart", tutorial: "quickstart", delete: "erase", old: "retention",
  started: "quickstart", laptop: "quickstart", exceptions: "retry", errors: "retry", long: "checkpoints", dst: "clocks", daylight: "clocks",
  forgotten: "erase", gdpr: "erase", tenant: "organization", paged: "pager", throttle: "rate", throttling: "rate", backoff: "retry", dlq: "dead", kill: "interrupted", crash: "interrupted",
};

async function search(query) {
  const all = query.toLowerCase().match(/"[^"]+"|[\p{L}\p{N}_-]+/gu) ?? [];
  const telling = all.filter((word) => !STOP_WORDS.has(word));
  telling.push(...telling.map((word) => SYNONYMS[word]).filter(Boolean));
  const sections = new Map();
  for (const word of new Set(telling.length > 0 ? telling : all)) {
    const { results } = await pagefind.search(word);
    const rarity = Math.log(1 + 1000 / results.length);
    for (const result of results) {
      const section = sections.get(result.id) ?? { result, score: 0 };
      section.score += rarity * (1 + result.score / results[0].score);
      sections.set(result.id, section);
    }
  }
  const ranked = [...sections.values()].sort((a, b) => b.score - a.score);
  const found = await Promise.all(ranked.slice(0, 4 * SHOWN).map(({ result }) => result.data()));
  const pages = new Set();
  return found
    .filter(({ excerpt }) => excerpt.includes("<mark>")) // Pagefind guesses at other words
    .filter(({ meta }) => {
      const page = meta.url.split("#")[0];
      return !pages.has(page) && pages.add(page);
    })
    .slice(0, SHOWN)
    .sort((a, b) => Boolean(a.meta.audience) - Boolean(b.meta.audience)); // pages for contributors last
}

function shown({ meta, excerpt }) {
  const item = document.createElement("li");
  const link = item.appendChild(document.createElement("a"));
  link.href = meta.url;
  link.textContent = meta.title;
  if (meta.page) {
    item.append(` (${meta.page})`);
  }
  const text = item.appendChild(document.createElement("p"));
  text.innerHTML = excerpt; // Pagefind escapes it, and marks the words
  return item;
}

const query = new URLSearchParams(location.search).get("q") ?? "";
if (query) {
  const status = document.getElementById("status");
  document.querySelector("article input[name=q]").value = query;
  status.textContent = "Searching…";
  const found = await search(query);
  document.getElementById("results").append(...found.map(shown));
  status.textContent = found.length > 0 ? "Best matches:" : "No page has any of these words.";
}
