// Measures how fast a page is: see examples/docs/script.md. page.js loads this file, and takes the figures once.
(() => {
  "use strict";
  const script = document.currentScript;
  script.remove();
  const [navigation] = performance.getEntriesByType("navigation");
  // A prerendered page begins when it is shown.
  const begun = navigation.activationStart ?? 0;
  const states = performance.getEntriesByType("visibility-state");
  const hidden = states.find(({ name, startTime }) => name === "hidden" && (!begun || startTime > begun));
  // What is painted later was kept back until somebody looked.
  const until = hidden?.startTime ?? (states.length || document.visibilityState === "visible" ? Infinity : 0);

  const rests = [];
  const observe = (type, take, options) => {
    if (!PerformanceObserver.supportedEntryTypes.includes(type)) return false;
    const observer = new PerformanceObserver((list) => list.getEntries().forEach(take));
    observer.observe({ type, buffered: true, ...options });
    // Entries that wait when the page is left.
    rests.push(() => observer.takeRecords().forEach(take));
    return true;
  };

  // Largest Contentful Paint: the last entry; the browser ends them with the first click or scroll.
  let lcp;
  observe("largest-contentful-paint", ({ startTime }) => {
    if (startTime < until) lcp = Math.max(0, startTime - begun);
  });

  // Cumulative Layout Shift: the worst window of five seconds at most, without a pause of a second.
  let cls = 0;
  let sum = 0;
  let first = -Infinity;
  let last = -Infinity;
  const shifts = observe("layout-shift", ({ value, startTime, hadRecentInput }) => {
    if (hadRecentInput) return;
    if (startTime - last >= 1000 || startTime - first >= 5000) {
      sum = 0;
      first = startTime;
    }
    last = startTime;
    sum += value;
    cls = Math.max(cls, sum);
  });

  // Interaction to Next Paint: the slowest one, without one in fifty; the ten slowest are enough for 500 of them.
  const slowest = new Map();
  const interact = ({ interactionId, duration }) => {
    if (!interactionId) return;
    slowest.set(interactionId, Math.max(duration, slowest.get(interactionId) ?? 0));
    if (slowest.size <= 10) return;
    const [fastest] = [...slowest].sort((one, other) => one[1] - other[1])[0];
    slowest.delete(fastest);
  };
  observe("event", interact, { durationThreshold: 40 });
  // One below the threshold, if it was the first.
  observe("first-input", interact);
  const inp = () => {
    const durations = [...slowest.values()].sort((one, other) => other - one);
    const count = performance.interactionCount ?? durations.length;
    return durations[Math.min(durations.length - 1, Math.floor(count / 50))];
  };

  script.take = () => {
    delete script.take;
    for (const rest of rests) rest();
    const figures = {
      lcp,
      inp: inp(),
      cls: shifts ? 1000 * cls : undefined,
      ttfb: navigation.responseStart ? Math.max(0, navigation.responseStart - begun) : undefined,
    };
    const known = Object.entries(figures).filter(([, figure]) => figure !== undefined);
    return Object.fromEntries(known.map(([name, figure]) => [name, Math.round(figure)]));
  };
})();
