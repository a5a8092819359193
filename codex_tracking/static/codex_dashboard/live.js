// Live figures, by websocket or by polling. Without this script the page shows those it was rendered with.
//
// Events: `ct-shown` comes from what navigation.js has put into the page; `ct-refresh` asks it to fetch the page again.
(() => {
  "use strict";

  const main = document.querySelector("#ct-main");
  // The widgets and cards on a project's pages do not change by themselves.
  if (!main) return;

  // Milliseconds. Screen readers speak each change of a status, so it changes seldom.
  const SAY_EVERY = 30_000;
  const FRESH_EVERY = 15_000;
  const ASK_EVERY = 1_000;
  let socket = null;
  let asking = 0;
  let saidAt = 0;
  let freshAt = Date.now();
  let tries = 0;
  let later = 0;
  let heard = true;
  let settling = 0;

  const live = () => main.querySelector("[data-ct-live]");

  const renew = (quiet = false) => {
    freshAt = Date.now();
    document.dispatchEvent(new CustomEvent("ct-refresh", { detail: { quiet } }));
  };

  // Intl puts separators elsewhere than Django in some languages, so a number of Django's is the pattern.
  const whole = (value) => {
    const digits = [...String(Math.round(value))].reverse();
    let text = "";
    for (const place of [...live().dataset.numbers].reverse()) {
      if (digits.length === 0) break;
      text = (/\d/.test(place) ? digits.shift() : place) + text;
    }
    return text;
  };

  const write = (cell, value) => {
    if (!cell || value === null || value === undefined) return false;
    const text = whole(value);
    if (cell.textContent === text) return false;
    cell.textContent = text;
    return true;
  };

  // Each bar stands for an age, so a new minute changes the heights and moves no bar.
  const strip = (news) => {
    const host = main.querySelector("[data-ct-strip]");
    if (!host || !news.minutes) return;
    // Without Redis the newest minutes are unknown, not empty.
    host.hidden = !news.live;
    const svg = host.querySelector("svg");
    const height = Number(svg.dataset.height);
    const most = Math.max(...news.minutes);
    host.classList.toggle("ct-strip-moved", host.dataset.minute !== String(news.minute));
    host.dataset.minute = String(news.minute);
    svg.querySelectorAll("g").forEach((group, at) => {
      const count = news.minutes[at] ?? 0;
      const tall = Math.max(1, (count * height) / Math.max(most, 5));
      const bar = group.querySelector(".ct-strip-bar");
      bar.setAttribute("y", (height - tall).toFixed(2));
      bar.setAttribute("height", tall.toFixed(2));
      bar.classList.toggle("ct-strip-none", count === 0);
      group.querySelector("title").textContent = `${group.dataset.age}: ${whole(count)}`;
    });
    const total = news.minutes.reduce((sum, count) => sum + count, 0);
    const said = { total: whole(total), most: whole(most) };
    svg.setAttribute("aria-label", host.dataset.pattern.replace(/%\((total|most)\)s/g, (_, name) => said[name]));
  };

  // Cards and chart are fetched again at most every FRESH_EVERY, and only for a page that is visible.
  const refresh = () => {
    later = 0;
    if (!document.hidden && live()) renew(true);
  };

  document.addEventListener("visibilitychange", () => { if (!document.hidden && main.querySelector("[data-today]")) refresh(); });

  // The page says whether Redis answers; it is rendered again when that has changed.
  const differs = () => heard !== Boolean(live()?.querySelector("[data-ct-online-state]"));
  const settle = () => {
    settling = 0;
    if (live() && differs()) renew();
  };

  // Returns whether today has other views or visits than the page was rendered with.
  const headlines = (news) => {
    let grown = false;
    for (const cell of main.querySelectorAll("[data-today]")) {
      const { ctKpi: metric, value, today } = cell.dataset;
      // The message may be older or newer than the page: what it adds is its difference to the page's own today.
      write(cell, Number(value) + Math.max(news[metric] - Number(today), 0));
      grown ||= metric !== "visitors" && news[metric] !== Number(today);
    }
    return grown;
  };

  const apply = (news) => {
    const place = live();
    if (!place) return;
    if (write(place.querySelector("[data-ct-online]"), news.now)) {
      const state = place.querySelector("[data-ct-online-state]");
      for (const pulse of state.getAnimations({ subtree: true })) pulse.play();
    }
    // The head names today, and is no part of a quiet refresh. At midnight it changes once, with all the rest.
    if (news.minute >= Number(place.dataset.dayEnds) && Date.now() - freshAt > ASK_EVERY) {
      renew();
      return;
    }
    strip(news);
    // After a site's first view the figures replace the page that says there are none.
    if (news.views > 0 && main.querySelector("[data-ct-empty]") && Date.now() - freshAt > ASK_EVERY) {
      renew();
      return;
    }
    heard = news.live;
    if (differs() && !settling) settling = setTimeout(settle, Math.max(freshAt + FRESH_EVERY - Date.now(), 0));
    if (headlines(news) && !later) later = setTimeout(refresh, Math.max(freshAt + FRESH_EVERY - Date.now(), 0));
    if (Date.now() - saidAt > SAY_EVERY && news.now !== null) {
      const state = place.querySelector("[data-ct-online-state]");
      const say = place.querySelector("[data-ct-say]");
      if (state && say) say.textContent = state.textContent.trim();
      saidAt = Date.now();
    }
  };

  // A viewer who may no longer see the figures is told that they have stopped.
  const end = () => {
    asking = 0;
    clearTimeout(later);
    later = 0;
    for (const part of live().querySelectorAll("[data-ct-online-state], [data-ct-strip]")) part.hidden = true;
    const notice = main.querySelector("[data-ct-ended]");
    if (notice) notice.hidden = false;
  };

  const ask = async () => {
    const place = live();
    if (!place || !place.dataset.poll) { asking = 0; return; }
    // Not 0 while the first answer is under way, so that nobody starts a second loop.
    asking ||= -1;
    if (!document.hidden) {
      try {
        const headers = { "X-Requested-With": "XMLHttpRequest" };
        // A redirect leads to the login page, whose HTML is no answer.
        const answer = await fetch(place.dataset.poll, { credentials: "same-origin", headers, redirect: "manual" });
        if (answer.status === 401 || answer.status === 403 || answer.type === "opaqueredirect") { end(); return; }
        if (answer.ok) apply(await answer.json());
      } catch { /* The next request asks again. */ }
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
      // 4403 refuses a user with too many pages open and one who was logged out; polling tells them apart.
      if (event.code === 4403) { if (!asking) ask(); return; }
      // A server that has answered is restarting; one that never has offers no websockets.
      tries += 1;
      // Half of it less or more, or all viewers would return in the same second.
      if (answered) setTimeout(watch, Math.min(1_000 * 2 ** tries, 30_000) * (0.5 + Math.random()));
      else if (!asking) ask();
    };
  };

  const watch = () => {
    const place = live();
    clearTimeout(later);
    later = 0;
    if (!place) return;
    freshAt = Date.now();
    if (socket || asking) return;
    if (place.dataset.socket && "WebSocket" in window) listen(place.dataset.socket);
    else if (place.dataset.poll) ask();
  };

  document.addEventListener("ct-shown", (event) => { if (event.target === main) watch(); });

  watch();
})();
