// The scores of search results. Many pages have a common word once, and Sphinx would list these pages by
// their titles. So put the pages for users of Job Runners before those for its contributors.
var Scorer = {
  score: ([page, , , , score]) => {
    if (/^(CHANGELOG|CONTRIBUTING|tests|model|docs\/(architecture|benchmarks|contributing|decisions))/.test(page)) {
      return score / 4;
    }
    return /^docs\/(?!reference\/)/.test(page) ? score + 2 : score;
  },
  // Sphinx's own values:
  objNameMatch: 11,
  objPartialMatch: 6,
  objPrio: { 0: 15, 1: 5, 2: -5 },
  objPrioDefault: 0,
  title: 15,
  partialTitle: 7,
  term: 5,
  partialTerm: 2,
};
