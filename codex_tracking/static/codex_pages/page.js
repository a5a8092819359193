// Reports what the server cannot see of a page: see examples/docs/script.md. No cookie, no storage, nothing global.
(() => {
  "use strict";
  const script = document.currentScript;
  // Turbo and others run the scripts of each body.
  if ((document[Symbol.for("page")] ??= script) !== script) return;
  const to = script?.dataset.to;
  const navigation = performance.getEntriesByType?.("navigation")[0];
  // Without TLS, and in old browsers, a page cannot read its id.
  if (!to || !isSecureContext || !navigation?.serverTiming || navigation.responseStatus >= 400) return;

  const idIn = (entry) => entry.serverTiming.find(({ name }) => name === "v")?.description ?? "";
  const heeded = script.dataset.heed ?? "";
  // Asked here, since a page from a cache has another reader than its first.
  const quiet =
    (heeded.includes("gpc") && navigator.globalPrivacyControl) || (heeded.includes("dnt") && navigator.doNotTrack === "1");
  const campaign = (query) =>
    "" +
    new URLSearchParams([...new URLSearchParams(query)].filter(([key]) => /^(utm_\w+|ref|source|\w*clid)$/.test(key)));

  let page = idIn(navigation);
  let path = new URL(navigation.name).pathname;
  // "x" is a page of staff, and of others who are not counted.
  if (page === "x" || !(page || "all" in script.dataset)) return;

  const send = (k, more) => {
    const body = JSON.stringify({ i: page, l: crypto.randomUUID(), k, p: path, ...more });
    // Firefox before 133 drops other requests of a page that is left.
    if ("keepalive" in Request.prototype) {
      fetch(to, { method: "POST", body, keepalive: true, headers: { "Content-Type": "text/plain" } }).catch(() => {});
    } else {
      navigator.sendBeacon?.(to, body);
    }
  };
  const view = (kind) =>
    send(kind, { q: campaign(location.search).slice(0, 300), r: document.referrer.split("?")[0].slice(0, 600) });

  // Reading: seconds with the page visible and in focus.
  let since = 0;
  let seconds = 0;
  const look = () => {
    const now = performance.now();
    if (since) seconds += (now - since) / 1000;
    since = document.visibilityState === "visible" && document.hasFocus() ? now : 0;
  };
  const leave = () => {
    settle();
    look();
    const e = Math.round(seconds);
    if (quiet || !e) return;
    send("left", { e });
    seconds -= e;
  };

  // Pages that a library fetched, and the server counted: HTMX's boosted links, Turbo, Unpoly.
  let fetched = [];
  let moving = 0;
  let moved = 0;
  const watch = new PerformanceObserver((list) => {
    for (const entry of list.getEntries()) {
      const id = /^(fetch|xml)/.test(entry.initiatorType) && idIn(entry);
      if (id) fetched.unshift({ id, at: new URL(entry.name).pathname, end: entry.responseEnd });
    }
  });
  const settle = () => {
    if (!moving) return;
    clearTimeout(moving);
    moving = 0;
    // After a redirect the entry has the first address.
    const found = fetched.find(({ at }) => at === path) ?? fetched.find(({ id }) => id[0] === "c");
    // Those after the move may be the next page's.
    fetched = fetched.filter((one) => one !== found && one.end > moved);
    if (found) page = found.id;
    send(found ? "load" : "moved");
  };
  const move = () => {
    if (location.pathname === path) return;
    leave();
    path = location.pathname;
    moved = performance.now();
    // Some libraries move before they ask, and the answer may be slow.
    moving = setTimeout(settle, 10000);
  };

  const files = /\.(pdf|docx?|xlsx?|pptx?|od[tsp]|csv|zip|t?gz|7z|rar|dmg|exe|msi|apk|deb|rpm|iso|epub|mp[34]|wav|webm)$/i;
  const click = ({ target }) => {
    const named = target.closest?.("[data-track]")?.dataset.track;
    if (named) send("event", { n: named });
    const link = target.closest?.("a[href],area[href]");
    if (!link) return;
    let url;
    try {
      url = new URL(link.href, document.baseURI);
    } catch {
      return;
    }
    const { protocol, host, pathname } = url;
    const event = (n, v) => send("event", { n, v: v.slice(0, 200) });
    // Of mail only the domain: the rest names a person.
    if (protocol === "mailto:") event("mailto", pathname.split("@")[1] ?? "");
    else if (protocol === "tel:") event("tel", pathname);
    else if (!/^https?:$/.test(protocol)) return;
    else if (link.hasAttribute("download") || files.test(pathname)) event("download", host + pathname);
    else if (host !== location.host) event("outbound", host + pathname);
  };

  const begin = () => {
    // Without a byte from the server, which has counted what it answered with 304.
    const cached = navigation.deliveryType === "cache" && !navigation.transferSize;
    view(cached && page[0] === "c" ? "again" : "load");
    look();
    addEventListener("pageshow", ({ persisted }) => {
      if (!persisted) return;
      view("again");
      look();
    });
    document.addEventListener("visibilitychange", () => {
      if (document.visibilityState === "hidden") leave();
      else look();
    });
    for (const name of ["focus", "blur"]) addEventListener(name, look);
    addEventListener("pagehide", () => {
      leave();
      since = 0;
    });
    watch.observe({ type: "resource" });
    if (window.navigation?.addEventListener) {
      // "replace" corrects an address, and shows no other page.
      window.navigation.addEventListener("currententrychange", ({ navigationType }) => {
        if (navigationType === "push" || navigationType === "traverse") move();
      });
    } else {
      const push = history.pushState;
      history.pushState = function (...args) {
        push.apply(this, args);
        move();
      };
      addEventListener("popstate", move);
    }
    if (!quiet) for (const name of ["click", "auxclick"]) document.addEventListener(name, click, true);
  };

  if (document.prerendering) document.addEventListener("prerenderingchange", begin, { once: true });
  else begin();
})();
