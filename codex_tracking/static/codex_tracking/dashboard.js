// Charts that answer to mouse and keys, pages that change without loading, figures that move. Everything is there without it.
(() => {
  "use strict";

  const root = document.documentElement;
  const all = (selector, within = document) => [...within.querySelectorAll(selector)];

  // --- charts ---

  // Charts read their numbers and their words from the table that stands beside them, so there is one truth to draw.
  const read = (table) =>
    [...table.tBodies[0].rows].map((row) => ({
      name: row.cells[0].textContent.trim(),
      cells: all("data", row).map((cell) => ({
        value: cell.value === "" ? null : Number(cell.value),
        text: cell.textContent.trim(),
        name: cell.dataset.name ?? "",
      })),
    }));

  const heads = (table) =>
    [...table.tHead.rows[0].cells].slice(1).map((cell) => ({ name: cell.textContent.trim(), dashed: "ctDashed" in cell.dataset }));

  // The style sheet owns the colours; canvas needs them as values.
  const colour = (host, name) => {
    const probe = document.createElement("i");
    probe.className = `ct-colour ct-colour-${name}`;
    host.append(probe);
    const value = getComputedStyle(probe).color;
    probe.remove();
    return value;
  };

  const lines = (host, names) =>
    names.flatMap(({ dashed }, index) => {
      if (dashed) return [{ width: 1.5, dash: [5, 4], points: { show: false }, stroke: colour(host, "before") }];
      const line = { width: 2, points: { show: false }, stroke: colour(host, `series-${index + 1}`) };
      const surface = index === 0 ? { fill: colour(host, "area") } : {};
      return [{ ...line, ...surface }, { ...line, ...surface, dash: [4, 4] }];
    });

  // A last point that is still growing has its stretch in a series of its own, drawn dotted.
  const columns = (rows, names, unfinished) =>
    names.reduce(
      (found, { dashed }, index) => {
        const values = rows.map((row) => row.cells[index].value);
        if (dashed) return [...found, values];
        const last = values.findLastIndex((value) => value !== null);
        const from = unfinished ? last - 1 : last;
        return [
          ...found,
          values.map((value, at) => (at <= from || (unfinished && last === 0) ? value : null)),
          values.map((value, at) => (unfinished && at >= from ? value : null)),
        ];
      },
      [rows.map((_, at) => at)],
    );

  const describe = (row, names) =>
    `${row.name}: ${row.cells.map((cell, index) => (names.length > 1 ? `${names[index].name} ${cell.text}` : cell.text)).join(", ")}`;

  const element = (name, text, className = "") => {
    const made = document.createElement(name);
    made.textContent = text;
    made.className = className;
    return made;
  };

  const fill = (tip, row, names) =>
    tip.replaceChildren(
      ...row.cells.flatMap((cell, index) => {
        const quiet = names[index].dashed;
        return [
          ...(index === 0 || cell.name ? [element("span", cell.name || row.name)] : []),
          element(quiet ? "span" : "strong", quiet ? cell.text : `${cell.text} ${names[index].name}`),
        ];
      }),
    );

  const enhance = (card) => {
    const host = card.querySelector("[data-ct-plot]");
    const table = card.querySelector("[data-ct-values]");
    const rows = read(table);
    const names = heads(table);
    if (card.classList.contains("ct-enhanced") || rows.length < 2 || names.length === 0) return;
    const unfinished = "unfinished" in card.dataset;
    const top = Number(card.dataset.top);
    const last = rows.length - 1;

    const tip = element("div", "", "ct-tip");
    tip.hidden = true;

    let plot;
    let at = Math.max(rows.findLastIndex((row) => row.cells[0].value !== null), 0);
    const follow = (index) => {
      tip.hidden = index === null || index === undefined;
      if (tip.hidden) return;
      at = index;
      fill(tip, rows[index], names);
      const x = plot.valToPos(index, "x");
      const highest = Math.max(...rows[index].cells.map((cell) => cell.value ?? 0));
      tip.classList.toggle("ct-tip-before", x > host.clientWidth / 2);
      tip.style.insetInlineStart = `${x}px`;
      tip.style.insetBlockStart = `${Math.min(Math.max(plot.valToPos(highest, "y") - 24, 0), host.clientHeight - tip.offsetHeight)}px`;
    };

    const draw = () => {
      if (!card.isConnected) return;
      plot?.destroy();
      plot = new uPlot(
        {
          width: host.clientWidth,
          height: host.clientHeight,
          padding: [0, 0, 0, 0],
          legend: { show: false },
          cursor: {
            y: false,
            drag: { x: false, y: false },
            points: { size: 9, width: 2, stroke: colour(host, "card") },
            move: (self, left, top) => [left < 0 ? left : self.valToPos(self.posToIdx(left), "x"), top],
          },
          scales: { x: { time: false, range: [0, last] }, y: { range: [0, top] } },
          axes: [{ show: false }, { show: false }],
          series: [{}, ...lines(host, names)],
          hooks: { setCursor: [(self) => follow(self.cursor.idx)] },
        },
        columns(rows, names, unfinished),
        host,
      );
      host.append(tip);
    };

    const go = (index) => {
      at = Math.min(Math.max(index, 0), last);
      plot.setCursor({ left: plot.valToPos(at, "x"), top: 0 });
      follow(at);
      say();
    };
    const say = () => {
      host.setAttribute("aria-valuenow", String(at));
      host.setAttribute("aria-valuetext", describe(rows[at], names));
    };
    const steps = { ArrowLeft: -1, ArrowRight: 1, PageUp: -7, PageDown: 7, Home: -Infinity, End: Infinity };

    host.tabIndex = 0;
    host.setAttribute("role", "slider");
    host.setAttribute("aria-label", host.dataset.label);
    host.setAttribute("aria-orientation", "horizontal");
    host.setAttribute("aria-valuemin", "0");
    host.setAttribute("aria-valuemax", String(last));
    say();
    host.addEventListener("focus", () => { if (host.matches(":focus-visible")) go(at); });
    host.addEventListener("blur", () => plot.setCursor({ left: -10, top: -10 }));
    host.addEventListener("keydown", (event) => {
      if (event.key === "Escape") plot.setCursor({ left: -10, top: -10 });
      if (!(event.key in steps)) return;
      event.preventDefault();
      go(at + steps[event.key]);
    });

    card.classList.add("ct-enhanced");
    draw();
    document.addEventListener("ct-theme", draw);
    const size = new ResizeObserver(() => {
      if (card.isConnected) plot.setSize({ width: host.clientWidth, height: host.clientHeight });
      else { size.disconnect(); document.removeEventListener("ct-theme", draw); plot.destroy(); }
    });
    size.observe(host);
  };

  const wake = (within = document) => {
    all("[data-ct-chart]", within).forEach(enhance);
    if (within.matches?.("[data-ct-chart]")) enhance(within);
    all("[data-ct-fragment]", within).forEach(load);
  };

  // --- pages and parts that change without loading ---

  const fetched = async (url, options = {}) => {
    const answer = await fetch(url, { credentials: "same-origin", headers: { "X-Requested-With": "XMLHttpRequest" }, ...options });
    // Who was logged out meanwhile is sent to the login page, as on any other click.
    if (answer.redirected) throw new Error("redirected");
    return answer;
  };

  const parsed = (text) => new DOMParser().parseFromString(text, "text/html");

  // A part that belongs on any page of the project: <div data-ct-fragment="address"></div>
  const load = async (place) => {
    const url = place.dataset.ctFragment;
    delete place.dataset.ctFragment;
    try {
      const answer = await fetched(url);
      if (!answer.ok) return;
      const part = parsed(await answer.text()).body.firstElementChild;
      place.replaceWith(part);
      wake(part.parentElement);
    } catch { /* What stood there before stays. */ }
  };

  const focused = () => document.activeElement?.dataset?.ctKey;
  const refocus = (key) => key && all("[data-ct-key]").find((found) => found.dataset.ctKey === key)?.focus({ preventScroll: true });

  const main = document.querySelector("#ct-main");
  let turn = 0;

  const show = (page, key, quiet) => {
    const next = page.querySelector("#ct-main");
    const said = root.querySelector("[data-ct-say]");
    if (quiet) {
      // Only what nobody is busy with; a menu that is open, or a row with the focus, stays as it is.
      for (const part of all("[data-ct-part]", main)) {
        const fresh = next.querySelector(`[data-ct-part="${CSS.escape(part.dataset.ctPart)}"]`);
        const busy = part.contains(document.activeElement) || part.matches(":hover") || part.querySelector("details[open]");
        if (fresh && !busy) {
          part.replaceWith(fresh);
          wake(fresh);
          // These sums hold all that was heard until now.
          if (part.dataset.ctPart === "kpis") began = null;
        }
      }
      return;
    }
    document.title = page.title;
    main.replaceChildren(...next.childNodes);
    wake(main);
    watch();
    refocus(key);
    const say = main.querySelector("[data-ct-say]") ?? said;
    if (say) say.textContent = page.title;
  };

  const visit = async (url, { push = true, quiet = false } = {}) => {
    // What the page does by itself gives way to what somebody clicked.
    if (!quiet) turn += 1;
    const mine = turn;
    const key = focused();
    if (quiet && main.hasAttribute("aria-busy")) return;
    if (!quiet) main.setAttribute("aria-busy", "true");
    try {
      const answer = await fetched(url);
      const text = await answer.text();
      if (mine !== turn) return;
      if (!answer.headers.get("content-type")?.startsWith("text/html") || !text.includes('id="ct-main"')) throw new Error("no page");
      if (push) history.pushState({}, "", url);
      show(parsed(text), key, quiet);
      if (push && url.pathname !== here) scrollTo(0, 0);
      here = url.pathname;
    } catch {
      if (!quiet && mine === turn) location.assign(url);
    } finally {
      if (!quiet && mine === turn) main.removeAttribute("aria-busy");
    }
  };

  let here = location.pathname;

  // A tab changes its card alone; its address is that of the whole page, so that it can be shared.
  const turnTab = async (link) => {
    const part = link.closest("[data-ct-part]");
    const address = new URL(link.href);
    const key = link.dataset.ctKey;
    try {
      const answer = await fetched(`${address.pathname}fragment/${part.dataset.ctPart}/${address.search}`);
      if (!answer.ok) throw new Error(String(answer.status));
      const fresh = parsed(await answer.text()).body.firstElementChild;
      part.replaceWith(fresh);
      if (main) history.pushState({}, "", address);
      refocus(key);
    } catch {
      location.assign(address);
    }
  };

  const ours = (link, event) =>
    !event.defaultPrevented && event.button === 0 && !event.metaKey && !event.ctrlKey && !event.shiftKey && !event.altKey &&
    link && link.origin === location.origin && !link.target && !("ctLeave" in link.dataset);

  // Files, the project's pages and its cards are none of our business.
  const inside = (link) =>
    main?.contains(link) && !link.closest(".ct-grid") && link.pathname.startsWith(main.dataset.ctRoot ?? "\n") &&
    /^(|page\/|health\/|details\/\w+\/)$/.test(link.pathname.slice(main.dataset.ctRoot.length));

  document.addEventListener("click", (event) => {
    for (const menu of all("[data-ct-menu][open]")) if (!menu.contains(event.target)) menu.open = false;
    const link = event.target.closest?.("a[href]");
    if (!ours(link, event)) return;
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
    if (!main?.contains(form) || form.method !== "get" || form.closest(".ct-grid")) return;
    event.preventDefault();
    const address = new URL(form.action);
    address.search = String(new URLSearchParams([...new FormData(form)].filter(([, value]) => value !== "")));
    visit(address);
  });

  // Browsers let nobody copy on pages that came without encryption.
  const copyable = () => { for (const button of all("[data-ct-copy]")) button.hidden = !navigator.clipboard; };

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

  document.addEventListener("keydown", (event) => {
    const menu = event.key === "Escape" && event.target.closest?.("[data-ct-menu][open]");
    if (!menu) return;
    menu.open = false;
    menu.querySelector("summary").focus();
  });

  addEventListener("popstate", () => { if (main) visit(new URL(location.href), { push: false }); });

  // --- figures that move ---

  const whole = new Intl.NumberFormat(root.lang || undefined, { maximumFractionDigits: 0 });
  const SAY_EVERY = 30_000;
  const FRESH_EVERY = 15_000;
  const ASK_EVERY = 1_000;
  let began = null;
  let socket = null;
  let asking = 0;
  let saidAt = 0;
  let freshAt = Date.now();
  let tries = 0;
  let later = 0;
  let heard = true;
  let settling = 0;

  const live = () => main?.querySelector("[data-ct-live]");

  const write = (cell, value) => {
    if (!cell || value === null || value === undefined) return;
    const text = whole.format(value);
    if (cell.textContent !== text) cell.textContent = text;
  };

  // A bar's place keeps its age; the minutes move through the places.
  const strip = (news) => {
    const host = main.querySelector("[data-ct-strip]");
    if (!host || !news.minutes) return;
    // Without Redis the newest minutes are not empty but unknown.
    host.hidden = !news.live;
    const svg = host.querySelector("svg");
    const height = Number(svg.dataset.height);
    const most = Math.max(...news.minutes);
    host.classList.toggle("ct-strip-moved", host.dataset.minute !== String(news.minute));
    host.dataset.minute = String(news.minute);
    all("g", svg).forEach((group, at) => {
      const count = news.minutes[at] ?? 0;
      const tall = Math.max(1, (count * height) / Math.max(most, 5));
      const bar = group.querySelector(".ct-strip-bar");
      bar.setAttribute("y", (height - tall).toFixed(2));
      bar.setAttribute("height", tall.toFixed(2));
      bar.classList.toggle("ct-strip-none", count === 0);
      group.querySelector("title").textContent = `${group.dataset.age}: ${whole.format(count)}`;
    });
    const total = news.minutes.reduce((sum, count) => sum + count, 0);
    const said = { total: whole.format(total), most: whole.format(most) };
    svg.setAttribute("aria-label", host.dataset.pattern.replace(/%\((total|most)\)s/g, (_, name) => said[name]));
  };

  // Cards and chart follow the numbers, but not at every visit, and not while nobody looks.
  const refresh = () => {
    later = 0;
    if (document.hidden || !live()) return;
    freshAt = Date.now();
    visit(new URL(location.href), { push: false, quiet: true });
  };

  document.addEventListener("visibilitychange", () => { if (!document.hidden && live()?.dataset.ctLive) refresh(); });

  // Redis went away, or came back: the page says other things then.
  const differs = () => heard !== Boolean(live()?.querySelector("[data-ct-online-state]"));
  const settle = () => {
    settling = 0;
    if (!live() || !differs()) return;
    freshAt = Date.now();
    visit(new URL(location.href), { push: false });
  };

  const apply = (news) => {
    const place = live();
    if (!place) return;
    write(place.querySelector("[data-ct-online]"), news.now);
    strip(news);
    if (news.views > 0 && main.querySelector("[data-ct-empty]") && Date.now() - freshAt > ASK_EVERY) {
      // The first view is here.
      freshAt = Date.now();
      visit(new URL(location.href), { push: false });
      return;
    }
    heard = news.live;
    if (differs() && !settling) settling = setTimeout(settle, Math.max(freshAt + FRESH_EVERY - Date.now(), 0));
    const mode = place.dataset.ctLive;
    if (mode) {
      began ??= news;
      for (const metric of ["views", "visitors", "visits"]) {
        const cell = main.querySelector(`[data-ct-kpi="${metric}"]`);
        if (!cell || cell.dataset.value === "") continue;
        // Of a longer period the page knows the sum, and hears how much today has grown since.
        write(cell, mode === "today" ? news[metric] : Number(cell.dataset.value) + Math.max(news[metric] - began[metric], 0));
      }
      const grown = news.views !== began.views || news.visits !== began.visits;
      if (grown && !later) later = setTimeout(refresh, Math.max(freshAt + FRESH_EVERY - Date.now(), 0));
    }
    if (Date.now() - saidAt > SAY_EVERY && news.now !== null) {
      const state = place.querySelector("[data-ct-online-state]");
      const say = place.querySelector("[data-ct-say]");
      if (state && say) say.textContent = state.textContent.trim();
      saidAt = Date.now();
    }
  };

  // Who may no longer see the numbers is told that they stand still.
  const end = () => {
    asking = 0;
    clearTimeout(later);
    later = 0;
    const place = live();
    for (const part of all("[data-ct-online-state], [data-ct-strip]", place)) part.hidden = true;
    const notice = main.querySelector("[data-ct-ended]");
    if (notice) notice.hidden = false;
  };

  const ask = async () => {
    const place = live();
    if (!place || !place.dataset.poll) { asking = 0; return; }
    // Also while the first answer is under way.
    asking ||= -1;
    if (!document.hidden) {
      try {
        const answer = await fetched(place.dataset.poll, { redirect: "manual" });
        if (answer.status === 401 || answer.status === 403 || answer.type === "opaqueredirect") { end(); return; }
        if (answer.ok) apply(await answer.json());
      } catch { /* It is asked again. */ }
    }
    asking = setTimeout(ask, ASK_EVERY);
  };

  const listen = (path) => {
    let answered = false;
    const address = new URL(path, location.href);
    address.protocol = location.protocol === "https:" ? "wss:" : "ws:";
    socket = new WebSocket(address);
    socket.onmessage = (event) => {
      answered = true;
      tries = 0;
      apply(JSON.parse(event.data));
    };
    socket.onclose = (event) => {
      socket = null;
      if (!live()) return;
      // With too many pages open, this one asks instead; to those who were logged out the answer says so.
      if (event.code === 4403) { if (!asking) ask(); return; }
      // Where nobody answers websockets the page asks instead; a server that restarts is looked for again.
      tries += 1;
      if (answered) setTimeout(watch, Math.min(1_000 * 2 ** tries, 30_000));
      else if (!asking) ask();
    };
  };

  const watch = () => {
    const place = live();
    began = null;
    clearTimeout(later);
    later = 0;
    if (!place) return;
    freshAt = Date.now();
    if (socket || asking) return;
    if (place.dataset.socket && "WebSocket" in window) listen(place.dataset.socket);
    else if (place.dataset.poll) ask();
  };

  wake();
  watch();
  copyable();
})();
