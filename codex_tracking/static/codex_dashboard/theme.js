// Light or dark by choice. Runs before the page is painted, so that it never flashes in the other colours.
(() => {
  "use strict";

  const KEY = "codex_tracking.theme";
  const root = document.documentElement;
  const dark = matchMedia("(prefers-color-scheme: dark)");
  const system = () => (dark.matches ? "dark" : "light");

  // Storage may be forbidden; the choice then lasts as long as the page.
  const stored = () => { try { return localStorage.getItem(KEY); } catch { return null; } };
  const store = (theme) => {
    try {
      if (theme) localStorage.setItem(KEY, theme);
      else localStorage.removeItem(KEY);
    } catch {
      // As above.
    }
  };

  let choice = stored();
  const current = () => choice ?? system();

  const show = () => {
    if (choice) root.dataset.ctTheme = choice;
    else delete root.dataset.ctTheme;
    for (const button of document.querySelectorAll("[data-ct-theme-toggle]")) {
      button.hidden = false;
      button.setAttribute("aria-pressed", String(current() === "dark"));
    }
    document.dispatchEvent(new Event("ct-theme"));
  };

  if (choice !== "light" && choice !== "dark") choice = null;
  show();
  dark.addEventListener("change", show);
  document.addEventListener("DOMContentLoaded", () => {
    show();
    for (const button of document.querySelectorAll("[data-ct-theme-toggle]")) {
      button.addEventListener("click", () => {
        const wanted = current() === "dark" ? "light" : "dark";
        // The system's colours are no choice: whoever goes back to them follows the system again.
        choice = wanted === system() ? null : wanted;
        store(choice);
        show();
      });
    }
  });
})();
