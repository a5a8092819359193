// Charts with a pointer and keys. Without this script the server's SVG stays.
//
// The dashboard's scripts share no names, only events: `ct-shown` bubbles from every element that navigation.js puts into
// the page, `ct-theme` (theme.js) says that the colours have changed.
// They are classic scripts, because Django's ManifestStaticFilesStorage does not rewrite the paths of module imports: an
// imported file would be asked for by its name without hash, which caches keep across releases and some deployments delete.
(() => {
  "use strict";

  // The table beside a chart holds its numbers and words, so both always say the same.
  const read = (table) =>
    [...table.tBodies[0].rows].map((row) => ({
      name: row.cells[0].textContent.trim(),
      cells: [...row.querySelectorAll("data")].map((cell) => ({
        value: cell.value === "" ? null : Number(cell.value),
        text: cell.textContent.trim(),
        name: cell.dataset.name ?? "",
      })),
    }));

  const heads = (table) =>
    [...table.tHead.rows[0].cells].slice(1).map((cell) => ({ name: cell.textContent.trim(), dashed: "ctDashed" in cell.dataset }));

  // The style sheet defines the colours; a canvas needs their values.
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

  // uPlot has one dash per series, so the stretch to an unfinished last point is a series of its own.
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
    // One point has no scale: its drawing of the server stays.
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
      // A canvas keeps the colours that it was drawn with.
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
            move: (self, x, y) => [x < 0 ? x : self.valToPos(self.posToIdx(x), "x"), y],
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
    const steps = { ArrowLeft: -1, ArrowDown: -1, ArrowRight: 1, ArrowUp: 1, PageUp: 7, PageDown: -7, Home: -Infinity, End: Infinity };

    host.tabIndex = 0;
    // The role whose value screen readers read again when an arrow key has changed it: aria-valuetext.
    host.setAttribute("role", "slider");
    host.setAttribute("aria-label", host.dataset.label);
    host.setAttribute("aria-orientation", "horizontal");
    host.setAttribute("aria-valuemin", "0");
    host.setAttribute("aria-valuemax", String(last));
    say();
    // A click focuses too, and chooses its own point.
    host.addEventListener("focus", () => { if (host.matches(":focus-visible")) go(at); });
    // uPlot hides a cursor that is outside of the plot.
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
    // A card that was replaced would stay in memory, held by the page's listeners.
    const size = new ResizeObserver(() => {
      if (card.isConnected) plot.setSize({ width: host.clientWidth, height: host.clientHeight });
      else { size.disconnect(); document.removeEventListener("ct-theme", draw); plot.destroy(); }
    });
    size.observe(host);
  };

  const enhanceIn = (place) => {
    if (place.matches?.("[data-ct-chart]")) enhance(place);
    place.querySelectorAll("[data-ct-chart]").forEach(enhance);
  };

  document.addEventListener("ct-shown", (event) => enhanceIn(event.target));
  enhanceIn(document);
})();
