// Gives the charts a cursor that follows the mouse, a finger or the arrow keys. Everything is there without it.
(() => {
  "use strict";

  // Charts read their numbers and their words from the table that stands beside them, so there is one truth to draw.
  const read = (table) =>
    [...table.tBodies[0].rows].map((row) => ({
      name: row.cells[0].textContent.trim(),
      cells: [...row.querySelectorAll("data")].map((cell) => ({ value: Number(cell.value), text: cell.textContent.trim() })),
    }));

  const heads = (table) => [...table.tHead.rows[0].cells].slice(1).map((cell) => cell.textContent.trim());

  // The style sheet owns the colours; canvas needs them as values.
  const colour = (host, name) => {
    const probe = document.createElement("i");
    probe.className = `ct-colour ct-colour-${name}`;
    host.append(probe);
    const value = getComputedStyle(probe).color;
    probe.remove();
    return value;
  };

  const lines = (host, count) =>
    Array.from({ length: count }, (_, index) => {
      const stroke = colour(host, `series-${index + 1}`);
      const line = { width: 2, points: { show: false }, stroke };
      const surface = index === 0 ? { fill: colour(host, "area") } : {};
      return [{ ...line, ...surface }, { ...line, ...surface, dash: [4, 4] }];
    }).flat();

  // The last point is still growing: its stretch is a series of its own, drawn dashed.
  const columns = (rows, count) => {
    const last = rows.length - 1;
    const parts = [];
    for (let index = 0; index < count; index += 1) {
      parts.push(rows.map((row, at) => (at < last || last === 0 ? row.cells[index].value : null)));
      parts.push(rows.map((row, at) => (at >= last - 1 ? row.cells[index].value : null)));
    }
    return [rows.map((_, at) => at), ...parts];
  };

  const describe = (row, names) =>
    `${row.name}: ${row.cells.map((cell, index) => (names.length > 1 ? `${names[index]} ${cell.text}` : cell.text)).join(", ")}`;

  const fill = (tip, row, names) => {
    const day = document.createElement("span");
    day.textContent = row.name;
    const values = row.cells.map((cell, index) => {
      const line = document.createElement("strong");
      line.textContent = `${cell.text} ${names[index]}`;
      return line;
    });
    tip.replaceChildren(day, ...values);
  };

  const enhance = (card) => {
    const host = card.querySelector("[data-ct-plot]");
    const table = card.querySelector("[data-ct-values]");
    const rows = read(table);
    const names = heads(table);
    if (rows.length < 2 || names.length === 0) return;
    const top = Number(card.dataset.top);
    const last = rows.length - 1;

    const tip = document.createElement("div");
    tip.className = "ct-tip";
    tip.hidden = true;

    let plot;
    let at = last;
    const follow = (index) => {
      tip.hidden = index === null || index === undefined;
      if (tip.hidden) return;
      at = index;
      fill(tip, rows[index], names);
      const x = plot.valToPos(index, "x");
      const highest = Math.max(...rows[index].cells.map((cell) => cell.value));
      tip.classList.toggle("ct-tip-before", x > host.clientWidth / 2);
      tip.style.insetInlineStart = `${x}px`;
      tip.style.insetBlockStart = `${Math.min(Math.max(plot.valToPos(highest, "y") - 24, 0), host.clientHeight - 56)}px`;
    };

    const draw = () => {
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
          series: [{}, ...lines(host, names.length)],
          hooks: { setCursor: [(self) => follow(self.cursor.idx)] },
        },
        columns(rows, names.length),
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
    new ResizeObserver(() => plot.setSize({ width: host.clientWidth, height: host.clientHeight })).observe(host);
  };

  document.querySelectorAll("[data-ct-chart]").forEach(enhance);
})();
