"use strict";
(() => {
  const { token } = document.body.dataset;
  if (!token) return;
  const all = (selector, from = document) => [...from.querySelectorAll(selector)];
  const make = (tag, text, kind) => {
    const made = document.createElement(tag);
    if (text !== undefined) made.textContent = text;
    if (kind) made.className = kind;
    return made;
  };
  const button = (text, work, title) => {
    const made = make("button", text);
    made.type = "button";
    if (title) made.title = title;
    made.addEventListener("click", work);
    return made;
  };
  const panel = () => document.getElementById("record");
  const placeOf = (field) => `${field.dataset.record} ${field.dataset.path}`;
  const fieldAt = (place) => all(".field").find((field) => placeOf(field) === place);
  const current = () => document.activeElement?.closest?.(".field") ?? document.querySelector(".field.on");
  const isOpen = (field) => field.matches(".doubtful, .missing, .breach") && !field.querySelector(":scope > .say.settled");
  const focus = (field) => {
    const go = field?.querySelector("a.go");
    go?.focus({ preventScroll: true });
    field?.scrollIntoView({ block: "nearest" });
  };
  const tell = (field, text, ...buttons) => {
    field.querySelector(":scope > .told")?.remove();
    const told = make("div", text, "told");
    told.setAttribute("role", "alert");
    told.append(...buttons);
    field.append(told);
  };

  // What the server has of the document replaces what is shown; pictures stay, so that nothing flickers.
  const show = (html) => {
    const fresh = new DOMParser().parseFromString(html, "text/html");
    const top = panel().scrollTop;
    for (const selector of ["#record", ".head", ".bar"]) document.querySelector(selector).replaceWith(fresh.querySelector(selector));
    const drawn = all("svg.boxes", fresh);
    all("svg.boxes").forEach((svg, index) => drawn[index] && svg.replaceWith(drawn[index]));
    panel().scrollTop = top;
    addWhole();
  };

  const onward = (place) => {
    const fields = all("#record .field");
    const here = fields.findIndex((field) => placeOf(field) === place);
    const open = fields.slice(here + 1).find(isOpen) ?? fields.find(isOpen);
    if (open) focus(open);
    else (document.querySelector('a[rel="next"]') ?? fields[here]?.querySelector("a.go"))?.focus({ preventScroll: true });
  };

  let busy = false;
  const say = async (field, body, { stay = false } = {}) => {
    if (busy) return false;
    busy = true;
    document.body.dataset.busy = "";
    try {
      const answer = await fetch(location.pathname, {
        method: "POST",
        headers: { "Content-Type": "application/json", "X-Pagemill-Token": token },
        body: JSON.stringify(body),
      });
      if (answer.ok) {
        show(await answer.text());
        const place = `${body.record} ${body.path}`;
        if (stay) focus(fieldAt(place) ?? fieldAt(field && placeOf(field)));
        else onward(place);
        return true;
      }
      const { error } = await answer.json();
      const again = button("do it anyway", () => void say(field, { ...body, force: true }, { stay }));
      tell(field ?? panel(), error, ...(answer.status === 409 ? [again, button("load the page", () => location.reload())] : []));
    } catch {
      tell(field ?? panel(), "The server does not answer; nothing was saved. Is `pagemill review` still running?");
    } finally {
      busy = false;
      delete document.body.dataset.busy;
    }
    return false;
  };
  const about = (field) => {
    const known = field.querySelector(":scope > .say");
    if (!known) return null;
    const { record, path } = field.dataset;
    return { record: Number(record), path, seen: known.dataset.seen, since: known.dataset.since };
  };

  const edit = (field) => {
    const body = about(field);
    if (!body || field.querySelector(":scope > .edit")) return;
    const isText = field.classList.contains("long");
    const long = isText || field.dataset.raw.includes("\n");
    const form = make("div", undefined, "edit");
    const input = make(long ? "textarea" : "input");
    input.value = isText ? field.querySelector(".value").textContent : field.dataset.raw;
    const was = input.value; // as the browser has it, which may have other line ends
    input.setAttribute("aria-label", `New value of ${body.path}`);
    input.autocomplete = "off";
    input.spellcheck = false;
    const close = () => { form.remove(); focus(field); };
    const save = async () => {
      const action = input.value === was && was !== "" && !field.querySelector(".say.settled") ? "accept" : "correct";
      if (await say(field, { ...body, action, value: input.value })) return;
      input.focus();
    };
    input.addEventListener("keydown", (event) => {
      if (event.isComposing) return;
      if (event.key === "Enter" && (!long || event.ctrlKey)) { event.preventDefault(); void save(); }
      if (event.key === "Escape") { event.preventDefault(); event.stopPropagation(); close(); }
    });
    form.append(input, button("save", () => void save(), "Enter"), button("cancel", close, "Esc"));
    field.append(form);
    input.focus();
    input.select();
  };

  const act = {
    accept: (field) => { const body = about(field); if (body) void say(field, { ...body, action: "accept" }); },
    undo: (field) => { const body = about(field); if (body?.since) void say(field, { ...body, action: "undo" }, { stay: true }); },
    edit,
    remove: (field) => {
      const spot = (field.closest("tr") ?? field).querySelector(".say[data-row]");
      if (!spot) return;
      const { row, rowSeen, rowSince } = spot.dataset;
      const action = rowSince && !field.textContent.trim() ? "undo" : "remove";
      void say(field, { record: Number(field.dataset.record), path: row, seen: rowSeen, since: rowSince, action }, { stay: true });
    },
  };

  const addWhole = () => {
    for (const section of all("section.record")) {
      const first = section.querySelector(".field");
      if (!first?.querySelector(".say")) continue;
      const record = Number(first.dataset.record);
      const bar = make("div", undefined, "whole");
      const accept = button("accept the whole record", () => void say(first, { record, path: "", action: "accept", force: true }), "A");
      bar.append(accept);
      section.prepend(bar);
    }
  };

  addEventListener("click", (event) => {
    const pressed = event.target.closest?.("button[data-say]");
    if (pressed) act[pressed.dataset.say](pressed.closest(".field"));
  });
  addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || event.target.closest("input, textarea, select, button")) return;
    const field = current();
    if (event.key === "A") {
      (field?.closest("section.record") ?? document).querySelector(".whole button")?.click();
      return;
    }
    const asked = { a: "accept", e: "edit", u: "undo", x: "remove" }[event.key];
    if (!asked || !field) return;
    event.preventDefault();
    act[asked](field);
  });

  const keys = make("p");
  for (const [key, what] of [["a", "accept"], ["e", "change"], ["u", "take back"], ["x", "take the row out"], ["A", "accept the whole record"]]) keys.append(make("kbd", key), ` ${what}  `);
  document.querySelector(".foot")?.append(keys);
  addWhole();
  focus(all("#record .field").find(isOpen) ?? document.querySelector("#record .field"));
})();
