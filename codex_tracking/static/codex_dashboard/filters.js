// Suggests values for filters and steps while somebody types, and asks again for the days that a partial answer lacks.
// Without this script the fields take any text, and a reload shows more days.
(() => {
  "use strict";

  const PAUSE = 150; // Milliseconds after the last key.
  const MOST = 20;
  // Their values, and those in data-names, are codes with names in the reader's language: somebody types a name, which
  // the server does not search, so all of them are offered at once.
  const CODED = { country: "region", language: "language" };
  const MOST_CODED = 300;
  let timer = 0;
  let turn = 0;

  // Returns a function from a value to its name; undefined where values are their own names.
  const namesOf = (form, dimension) => {
    const small = JSON.parse(form.dataset.names ?? "{}")[dimension];
    if (small) return (value) => small[value];
    if (!CODED[dimension]) return undefined;
    const names = new Intl.DisplayNames([document.documentElement.lang || "en"], { type: CODED[dimension] });
    return (value) => { try { return names.of(value); } catch { return undefined; } };
  };

  const suggest = async (field) => {
    turn += 1;
    const mine = turn;
    const { form, value: text } = field;
    const kind = form.elements[field.dataset.ctKind].value;
    const dimension = kind === "prefix" ? "page" : kind;
    const named = namesOf(form, dimension);
    // The period and the filters that the page has, from the form's hidden fields.
    // The API has no values of the last 24 hours.
    const asked = new URLSearchParams();
    for (const [name, value] of new FormData(form)) if (["period", "start", "end", "f"].includes(name) && value !== "24h") asked.append(name, value);
    asked.set("limit", String(named ? MOST_CODED : MOST));
    if (text && !named) asked.set("search", text);
    const address = form.dataset.values.replace("/dimension/", `/${dimension}/`);
    try {
      const headers = { "X-Requested-With": "XMLHttpRequest" };
      const answer = await fetch(`${address}?${asked}`, { credentials: "same-origin", headers });
      if (!answer.ok || mine !== turn) return;
      const { rows } = await answer.json();
      if (mine !== turn) return;
      field.list.replaceChildren(...rows.map(({ value }) => new Option(named?.(value) ?? value, value)));
    } catch { /* Any value can be typed all the same. */ }
  };

  const later = (event) => {
    const field = event.target;
    if (!field.list || !field.form?.dataset.values) return;
    clearTimeout(timer);
    timer = setTimeout(suggest, event.type === "input" ? PAUSE : 0, field);
  };

  const AGAIN = 500; // Milliseconds after a partial answer.
  let asking = 0;
  // Answers that lack as many days as the one before: a busy server may have no time for what it has just prepared, and
  // one that cannot answer at all would be asked without end.
  const MOST_EQUAL = 2;
  let partial = { address: "", left: 0, equal: 0 };

  const ask = () => {
    // Another page would close a menu, and take what somebody is typing.
    const busy = document.hidden || document.querySelector("[data-ct-menu][open]") || document.activeElement?.matches("input, select");
    if (busy) asking = setTimeout(ask, AGAIN);
    else document.dispatchEvent(new CustomEvent("ct-refresh"));
  };

  const follow = () => {
    clearTimeout(asking);
    const left = Number(document.querySelector("[data-ct-left]")?.dataset.ctLeft ?? 0);
    const same = partial.address === location.href && partial.left === left;
    partial = { address: location.href, left, equal: same ? partial.equal + 1 : 0 };
    if (left && partial.equal < MOST_EQUAL) asking = setTimeout(ask, AGAIN);
  };

  document.addEventListener("ct-shown", (event) => { if (event.target.id === "ct-main") follow(); });
  follow();

  document.addEventListener("input", later);
  document.addEventListener("focusin", later);
})();
