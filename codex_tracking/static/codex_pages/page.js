// See examples/docs/script.md.
(() => {
  "use strict";
  const script = document.currentScript;
  // Turbo runs it again.
  if ((document[Symbol.for("page")] ??= script) !== script) return;
  const { to, more, heed = "", all } = script?.dataset ?? {};
  const navigation = performance.getEntriesByType?.("navigation")[0];
  // Without TLS there is no id.
  if (!to || !isSecureContext || origin === "null" || !navigation?.serverTiming || navigation.responseStatus >= 400) return;

  const root = document.documentElement;
  const idIn = (entry) => entry.serverTiming.find(({ name }) => name === "v")?.description;
  // Caches have many readers.
  const quiet =
    (heed.includes("gpc") && navigator.globalPrivacyControl) || (heed.includes("dnt") && navigator.doNotTrack === "1");

  const pathOf = ({ name }) => new URL(name).pathname;
  let page = idIn(navigation);
  let path = pathOf(navigation);
  // "x": left out, as staff are.
  if (page === "x" || !(page || all === "")) return;

  const landing = { i: page, p: path };
  const send = (k, rest) => {
    const w = quiet ? undefined : [screen.width | 0, innerWidth | 0];
    const claim = { i: page, l: crypto.randomUUID(), k, p: path, w, o: root.dataset.route?.slice(0, 200), ...rest };
    // Blockers know sendBeacon.
    if (claim.i !== "x") fetch(to, { method: "POST", body: JSON.stringify(claim), keepalive: true }).catch(() => {});
  };

  let since = 0;
  let seconds = 0;
  let seen, told;
  const look = () => {
    const now = performance.now();
    if (since) seconds += (now - since) / 1000;
    since = document.visibilityState === "visible" && document.hasFocus() ? now : 0;
  };
  const measure = () => {
    const share = (scrollY + innerHeight + 1) / root.scrollHeight;
    if (since) seen = Math.max(seen, Math.min(4, (4 * share) | 0));
  };
  const open = () => {
    seen = 0;
    told = -1;
    setTimeout(measure, 1000);
  };
  const view = (kind) => {
    const query = [...new URLSearchParams(location.search)].filter(([key]) => /^(utm_\w+|ref|source|\w*clid)$/.test(key));
    send(kind, {
      q: ("" + new URLSearchParams(query)).slice(0, 300),
      r: document.referrer.split("?")[0].slice(0, 600),
    });
    open();
    look();
  };
  const leave = (m) => {
    settle(true);
    look();
    const e = Math.round(seconds);
    if (quiet || !seconds || !(e || m || seen > told)) return;
    send("left", { e, d: [told, seen], m });
    told = seen;
    seconds -= e;
  };
  let timings;
  const hide = () => {
    measure();
    note(watch.takeRecords());
    let m = timings?.take?.();
    if (m && path !== landing.p) m = send("left", { ...landing, m });
    leave(m);
    since = 0;
  };

  let fetched = [];
  let moving, moved, awaited;
  // Turbo shows a copy first.
  const busy = () => root.ariaBusy === "true";
  const note = (entries) => {
    for (const entry of entries) {
      const id = entry.responseStatus >= 400 ? "x" : idIn(entry);
      if (id && /^[fx]/.test(entry.initiatorType)) fetched.unshift({ id, at: pathOf(entry), end: entry.responseEnd });
    }
    fetched.splice(50);
  };
  const watch = new PerformanceObserver((list) => note(list.getEntries()));
  const settle = (left) => {
    if (!moving) return;
    clearTimeout(moving);
    moving = 0;
    // Redirects keep the first address.
    const found = fetched.find(({ at }) => at === path) ?? fetched.find(({ id, at }) => id[0] === "c" && at !== location.pathname);
    if (!found && awaited && busy()) {
      if (!left) moving = setTimeout(settle, 10000);
      return;
    }
    fetched = fetched.filter((one) => one !== found && one.end > moved);
    if (found) page = found.id;
    send(found ? "load" : "moved");
  };
  const move = () => {
    if (location.pathname === path) return;
    leave();
    path = location.pathname;
    moved = performance.now();
    awaited = busy();
    open();
    moving = setTimeout(settle, 10000);
  };

  const files = /\.(pdf|docx?|xlsx?|pptx?|od[tsp]|csv|zip|t?gz|7z|rar|dmg|exe|msi|apk|deb|rpm|iso|epub|mp[34]|wav|webm)$/i;
  const event = (n, v) => send("event", { n, v: v?.slice(0, 200) });
  const click = ({ target }) => {
    const named = target.closest?.("[data-track]")?.dataset.track;
    if (named) event(named);
    const link = target.closest?.("a[href],area[href]");
    if (!link) return;
    const { protocol, host, pathname } = link;
    // The rest names a person.
    if (protocol === "mailto:") event("mailto", pathname.split("@")[1]);
    else if (protocol === "tel:") event("tel", pathname);
    else if (!/^http/.test(protocol)) return;
    else if (link.hasAttribute("download") || files.test(pathname)) event("download", host + pathname);
    else if (host !== location.host) event("outbound", host + pathname);
  };

  const begin = () => {
    // A 304 was counted.
    const cached = navigation.deliveryType === "cache" && !navigation.transferSize;
    view(cached && page?.[0] === "c" ? "again" : "load");
    addEventListener("pageshow", ({ persisted }) => persisted && view("again"));
    document.addEventListener("visibilitychange", () => (document.visibilityState === "hidden" ? hide() : look()));
    addEventListener("focus", look);
    addEventListener("blur", look);
    addEventListener("scroll", measure, { passive: true });
    addEventListener("pagehide", hide);
    watch.observe({ type: "resource" });
    if (window.navigation?.addEventListener) {
      window.navigation.addEventListener("currententrychange", ({ navigationType }) => {
        if (navigationType !== "replace") move();
      });
    } else {
      const push = history.pushState;
      history.pushState = (...args) => {
        push.apply(history, args);
        move();
      };
      addEventListener("popstate", move);
    }
    if (quiet) return;
    document.addEventListener("click", click, true);
    document.addEventListener("auxclick", click, true);
    if (!more) return;
    timings = document.createElement("script");
    timings.src = more;
    timings.nonce = script.nonce;
    document.head.append(timings);
  };

  if (document.prerendering) document.addEventListener("prerenderingchange", begin, { once: true });
  else begin();
})();
