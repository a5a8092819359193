// Links, tabs, forms and menus that change the page without loading it. Without this script they are plain HTML.
//
// Events: `ct-shown` bubbles from every element that this script puts into the page; `ct-refresh` asks it to fetch the
// current address again, with `detail.quiet` true to leave alone what somebody uses.
(() => {
  "use strict";

  const all = (selector, within = document) => [...within.querySelectorAll(selector)];
  const main = document.querySelector("#ct-main");

  const fetched = async (url) => {
    // By this header the server refuses a visitor instead of leading to the login, which would end up in a card.
    const answer = await fetch(url, { credentials: "same-origin", headers: { "X-Requested-With": "XMLHttpRequest" } });
    // A user who was logged out meanwhile goes to the login page, as with a link that loads the page. The form that
    // adds a filter leads back to the page that it is on.
    if (answer.redirected && new URL(answer.url).pathname !== new URL(url, location.href).pathname) throw new Error("redirected");
    return answer;
  };

  const parsed = (text) => new DOMParser().parseFromString(text, "text/html");

  const shown = (place) => {
    all("[data-ct-fragment]", place).forEach(load);
    place.dispatchEvent(new Event("ct-shown", { bubbles: true }));
  };

  // A fragment works on any page of the project: <div data-ct-fragment="address"></div>
  const load = async (place) => {
    const url = place.dataset.ctFragment;
    delete place.dataset.ctFragment;
    try {
      const answer = await fetched(url);
      if (!answer.ok) return;
      const part = parsed(await answer.text()).body.firstElementChild;
      place.replaceWith(part);
      shown(part);
    } catch { /* The link inside the element stays. */ }
  };

  // A menu is closed in the new page, so its button stands for what was chosen in it.
  const focused = () => {
    const held = document.activeElement;
    return (held?.closest("[data-ct-menu]")?.querySelector("summary") ?? held)?.dataset?.ctKey;
  };
  const refocus = (key) => key && all("[data-ct-key]").find((found) => found.dataset.ctKey === key)?.focus({ preventScroll: true });

  // The foot says of what moment the page is, and whether counting works: it belongs to the figures above.
  const showFoot = (page) => {
    const foot = document.querySelector(".ct-footer");
    const next = page.querySelector(".ct-footer");
    if (!foot || !next || foot.contains(document.activeElement)) return;
    const health = foot.querySelector('[data-ct-part="health"]');
    foot.replaceChildren(...next.childNodes);
    // The last known state stays until the new one has arrived.
    if (health) foot.querySelector("[data-ct-fragment]")?.replaceChildren(...health.childNodes);
    shown(foot);
  };

  const showParts = (next) => {
    for (const part of all("[data-ct-part]", main)) {
      const fresh = next.querySelector(`[data-ct-part="${CSS.escape(part.dataset.ctPart)}"]`);
      // Replacing it would close an open menu, lose the focus or move what the pointer is on.
      const busy = part.contains(document.activeElement) || part.matches(":hover") || part.querySelector("details[open]");
      if (!fresh || busy) continue;
      part.replaceWith(fresh);
      shown(fresh);
    }
  };

  const showPage = (page, key) => {
    const said = document.querySelector("[data-ct-say]");
    document.title = page.title;
    main.replaceChildren(...page.querySelector("#ct-main").childNodes);
    shown(main);
    refocus(key);
    // Screen readers read the title of a page that is loaded, and nothing of one that is replaced (WCAG 4.1.3).
    const say = main.querySelector("[data-ct-say]") ?? said;
    if (say) say.textContent = page.title;
  };

  let turn = 0;
  let here = location.pathname;

  const visit = async (url, { push = true, quiet = false } = {}) => {
    // A refresh gives way to a click: only clicks take a new turn.
    if (!quiet) turn += 1;
    const mine = turn;
    const key = focused();
    if (quiet && main.hasAttribute("aria-busy")) return;
    if (!quiet) main.setAttribute("aria-busy", "true");
    try {
      const answer = await fetched(url);
      const text = await answer.text();
      // A tab changes the address without a turn; a refresh of the former address would turn it back.
      if (mine !== turn || (quiet && url.href !== location.href)) return;
      if (!answer.headers.get("content-type")?.startsWith("text/html") || !text.includes('id="ct-main"')) throw new Error("no page");
      if (push) history.pushState({}, "", answer.url);
      const page = parsed(text);
      if (quiet) showParts(page);
      else showPage(page, key);
      showFoot(page);
      // As if the other page had been loaded.
      if (push && url.pathname !== here) scrollTo(0, 0);
      here = url.pathname;
    } catch {
      // The browser shows what this script cannot: an error, the login page, a file.
      if (!quiet && mine === turn) location.assign(url);
    } finally {
      if (!quiet && mine === turn) main.removeAttribute("aria-busy");
    }
  };

  // Every link and form was rendered with the tabs of that moment, and gets a tab that is chosen later.
  const remember = (part, tab) => {
    const name = part.dataset.ctPart;
    const put = (parameters) => (tab === null ? parameters.delete(name) : parameters.set(name, tab));
    for (const link of all("a[href]", main)) {
      if (!inside(link) || link.closest(".ct-tabs:not(.ct-visit-pages)") || part.contains(link)) continue;
      const address = new URL(link.href);
      put(address.searchParams);
      link.href = address.href;
    }
    for (const form of all("form", main)) {
      if (form.method !== "get" || form.closest(".ct-grid")) continue;
      form.querySelector(`input[type=hidden][name="${CSS.escape(name)}"]`)?.remove();
      if (tab === null) continue;
      const field = document.createElement("input");
      Object.assign(field, { type: "hidden", name, value: tab });
      form.prepend(field);
    }
  };

  // A tab fetches its card alone; its address is that of the whole page, so that it can be reloaded and shared.
  const turnTab = async (link) => {
    const part = link.closest("[data-ct-part]");
    const name = part.dataset.ctPart;
    const address = new URL(link.href);
    const key = link.dataset.ctKey;
    // The last one clicked counts, whichever answer comes first.
    part.dataset.ctWanted = key;
    if (main) {
      history.pushState({}, "", address);
      remember(part, address.searchParams.get(name));
    }
    try {
      const answer = await fetched(`${address.pathname}fragment/${name}/${address.search}`);
      if (!answer.ok) throw new Error(String(answer.status));
      const fresh = parsed(await answer.text()).body.firstElementChild;
      if (!part.isConnected || part.dataset.ctWanted !== key) return;
      const held = part.contains(document.activeElement);
      part.replaceWith(fresh);
      shown(fresh);
      if (held) refocus(key);
    } catch {
      location.assign(address);
    }
  };

  // With another button or a modifier, browsers open a tab or a window, or save the link.
  const plain = (link, event) =>
    !event.defaultPrevented && event.button === 0 && !event.metaKey && !event.ctrlKey && !event.shiftKey && !event.altKey &&
    link && link.origin === location.origin && !link.target && !("ctLeave" in link.dataset);

  // Downloads, the project's own pages and its cards (.ct-grid) are left to the browser.
  const inside = (link) =>
    main?.contains(link) && !link.closest(".ct-grid") && link.pathname.startsWith(main.dataset.ctRoot ?? "\n") &&
    /^(|page\/|health\/|funnels\/|journeys\/|segments\/|details\/\w+\/)$/.test(link.pathname.slice(main.dataset.ctRoot.length));

  document.addEventListener("click", (event) => {
    for (const menu of all("[data-ct-menu][open]")) if (!menu.contains(event.target)) menu.open = false;
    const link = event.target.closest?.("a[href]");
    if (!plain(link, event)) return;
    if ("ctTab" in link.dataset) {
      event.preventDefault();
      turnTab(link);
    } else if (inside(link)) {
      event.preventDefault();
      visit(new URL(link.href));
    }
  });

  document.addEventListener("submit", (event) => {
    const form = event.target;
    if (!main?.contains(form) || form.method !== "get" || "ctLeave" in form.dataset || form.closest(".ct-grid")) return;
    event.preventDefault();
    const address = new URL(form.action);
    // Fields that were left empty ask for nothing, and would only make the address longer.
    address.search = String(new URLSearchParams([...new FormData(form)].filter(([, value]) => value !== "")));
    visit(address);
  });

  // Tab out of a menu closes it; without a next element the focus has left the window, or a date picker is open.
  document.addEventListener("focusout", (event) => {
    const menu = event.target.closest?.("[data-ct-menu][open]");
    if (menu && event.relatedTarget && !menu.contains(event.relatedTarget)) menu.open = false;
  });

  document.addEventListener("keydown", (event) => {
    if (event.key !== "Escape" || event.defaultPrevented) return;
    const menu = event.target.closest?.("[data-ct-menu][open]");
    if (menu) {
      menu.open = false;
      menu.querySelector("summary").focus();
      return;
    }
    // In a field the key clears or closes what the browser shows.
    // A key that is held down removes one filter, not all.
    if (event.target.closest?.("input, select, textarea, .ct-grid") || event.repeat) return;
    all("[data-ct-chip-remove]", main ?? document).at(-1)?.click();
  });

  document.addEventListener("click", async (event) => {
    const button = event.target.closest?.("[data-ct-copy]");
    if (!button) return;
    try {
      await navigator.clipboard.writeText(button.dataset.ctCopy);
      const say = main.querySelector("[data-ct-say]");
      button.dataset.name ??= button.textContent;
      button.textContent = button.dataset.done;
      say.textContent = button.dataset.done;
      setTimeout(() => { button.textContent = button.dataset.name; say.textContent = ""; }, 2_000);
    } catch { /* The address stands beside the button. */ }
  });

  document.addEventListener("ct-refresh", (event) => visit(new URL(location.href), { push: false, ...event.detail }));
  addEventListener("popstate", () => { if (main) visit(new URL(location.href), { push: false }); });

  // Browsers have no clipboard on pages without encryption.
  for (const button of all("[data-ct-copy]")) button.hidden = !navigator.clipboard;
  all("[data-ct-fragment]").forEach(load);
})();
