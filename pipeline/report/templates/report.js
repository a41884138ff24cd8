"use strict";
(() => {
  document.documentElement.classList.add("js");
  const all = (selector, from = document) => [...from.querySelectorAll(selector)];
  const calm = matchMedia("(prefers-reduced-motion: reduce)");
  const typing = (target) => target.closest("input, textarea, select, [contenteditable]");

  // A value, its box and whatever else speaks of it share data-key: pointing at one marks all.
  const mark = (key) => {
    for (const marked of all(".on")) marked.classList.remove("on");
    if (key) for (const same of all(`[data-key="${CSS.escape(key)}"]`)) same.classList.add("on");
  };
  const keyOf = (target) => target.closest?.("[data-key]")?.dataset.key;
  const seen = (element) => {
    const box = element.getBoundingClientRect();
    return box.bottom > 60 && box.top < innerHeight - 20;
  };
  const show = (element) => {
    if (element && !seen(element)) element.scrollIntoView({ block: "center", behavior: calm.matches ? "auto" : "smooth" });
  };
  // Beside each other, following a value brings its box into view; below each other that would take the value away.
  const sideBySide = () => matchMedia("(min-width: 900px)").matches;

  addEventListener("pointerover", (event) => {
    const key = keyOf(event.target);
    if (key) mark(key);
  });
  addEventListener("focusin", (event) => {
    const key = keyOf(event.target);
    if (!key) return;
    mark(key);
    if (!sideBySide()) return;
    show(document.getElementById(event.target.closest(".box") ? `f-${key}` : `b-${key}`));
  });
  addEventListener("click", (event) => {
    const link = event.target.closest?.('a[href^="#"]');
    const key = link && keyOf(link);
    if (!key || event.ctrlKey || event.metaKey || event.shiftKey) return;
    const target = document.getElementById(decodeURIComponent(link.getAttribute("href").slice(1)));
    if (!target) return;
    event.preventDefault();
    mark(key);
    target.scrollIntoView({ block: "center", behavior: calm.matches ? "auto" : "smooth" });
    const place = target.matches("a") ? target : target.querySelector("a.go");
    place?.focus({ preventScroll: true });
  });

  const step = (by) => {
    const stops = all("a.go").filter((link) => !link.closest("details:not([open])"));
    if (!stops.length) return;
    const now = stops.indexOf(document.activeElement);
    const next = stops[now < 0 ? (by > 0 ? 0 : stops.length - 1) : Math.min(Math.max(now + by, 0), stops.length - 1)];
    next.focus({ preventScroll: true });
    show(next);
  };
  const follow = (relation) => document.querySelector(`a[rel="${relation}"]`)?.click();
  addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.key === "Escape") {
      mark(null);
      document.activeElement.blur();
      return;
    }
    if (typing(event.target)) return;
    const among = event.target.matches("a.go");
    const actions = { j: () => step(1), k: () => step(-1), n: () => follow("next"), p: () => follow("prev") };
    if (among) Object.assign(actions, { ArrowDown: () => step(1), ArrowUp: () => step(-1) });
    actions["/"] = () => document.querySelector(".search input")?.focus();
    if (!actions[event.key]) return;
    event.preventDefault();
    actions[event.key]();
  });

  // A value that the address names is marked, as after a click.
  const named = () => mark(/^#[fb]-(.+)$/.exec(decodeURIComponent(location.hash))?.[1]);
  addEventListener("hashchange", named);
  named();

  // The list of documents: searched and sorted over all of them, whose data are a script that is loaded when needed.
  const [NAME, HREF, STATUS, PAGES, REVIEW, GIST, DOUBTS, BREACHES, CONFIDENCE] = [0, 1, 2, 3, 4, 5, 6, 7, 8];
  const AT_ONCE = 200;
  const words = (text) => text.toLowerCase().normalize("NFKD");
  const make = (name, text, className) => {
    const element = document.createElement(name);
    if (text !== undefined) element.textContent = text;
    if (className) element.className = className;
    return element;
  };
  const numbers = new Intl.NumberFormat("en");
  const percent = (share) => (share === null ? "" : share > 0.99 && share < 1 ? "> 99 %" : `${Math.floor(share * 100 + 1e-6)} %`);

  for (const block of all("[data-documents]")) {
    const { documents: name, src, root } = block.dataset;
    const body = block.querySelector("tbody");
    const query = block.querySelector('input[type="search"]');
    const onlyReview = block.querySelector('input[type="checkbox"]');
    const told = block.querySelector("output");
    const more = block.querySelector(".more");
    let rows = null, loading = null, sort = NAME, up = true, limit = AT_ONCE;

    const load = () => {
      loading ??= new Promise((done, failed) => {
        const script = make("script");
        script.src = src;
        script.onload = () => {
          rows = window[name].map((row) => [...row, words(`${row[NAME]} ${row[GIST]}`)]);
          done();
        };
        script.onerror = failed;
        document.head.append(script);
      });
      return loading;
    };
    const line = (row) => {
      const tr = make("tr"), first = make("td"), link = make("a", undefined, "go"), gist = make("span", undefined, "gist");
      link.href = root + row[HREF];
      link.append(make("bdi", row[NAME]));
      gist.append(make("bdi", row[GIST]));
      first.append(link, gist);
      const state = row[STATUS] === "failed" ? ["failed", "tag breach"] : row[REVIEW] ? ["to review", "tag doubtful"] : ["ok", "tag ok"];
      const status = make("td");
      status.append(make("span", ...state));
      const number = (value, kind = "num") => make("td", value ? numbers.format(value) : "", kind);
      tr.append(first, number(row[PAGES], "num pages-count"), status, make("td", percent(row[CONFIDENCE]), "num"), number(row[DOUBTS]), number(row[BREACHES], "num wide"));
      return tr;
    };
    const compare = (a, b) => {
      const [x, y] = [a[sort], b[sort]];
      if (x === y) return a[NAME] < b[NAME] ? -1 : 1;
      if (x === null) return 1;
      if (y === null) return -1;
      return (typeof x === "string" ? x.localeCompare(y) : x - y) * (up ? 1 : -1);
    };
    const draw = async () => {
      await load();
      const asked = words(query.value).split(/\s+/).filter(Boolean);
      const fits = rows.filter((row) => asked.every((word) => row.at(-1).includes(word)) && (!onlyReview.checked || row[REVIEW] || row[STATUS] === "failed"));
      fits.sort(compare);
      body.replaceChildren(...fits.slice(0, limit).map(line));
      told.textContent = `${numbers.format(fits.length)} of ${numbers.format(rows.length)}`;
      more.hidden = fits.length <= limit;
      block.querySelector(".pager")?.setAttribute("hidden", "");
    };
    block.querySelector(".search").hidden = false;
    query.addEventListener("focus", () => void load());
    query.addEventListener("input", () => { limit = AT_ONCE; void draw(); });
    onlyReview.addEventListener("change", () => void draw());
    more.querySelector("button").addEventListener("click", () => { limit += AT_ONCE; void draw(); });
    for (const head of all("th[data-sort]", block)) {
      const button = make("button", head.textContent, "sort");
      button.type = "button";
      head.replaceChildren(button);
      button.addEventListener("click", () => {
        const by = Number(head.dataset.sort);
        up = sort === by ? !up : by === NAME || by === CONFIDENCE;
        sort = by;
        for (const other of all("th[data-sort]", block)) other.removeAttribute("aria-sort");
        head.setAttribute("aria-sort", up ? "ascending" : "descending");
        void draw();
      });
    }
  }
})();
