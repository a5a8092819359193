// Shows results while somebody types. These requests are parts of a page, so the tracking does not count them.
const field = document.querySelector("[data-search]");
const results = document.getElementById("results");
let waiting;

field.addEventListener("input", () => {
  clearTimeout(waiting);
  waiting = setTimeout(async () => {
    const answer = await fetch(`/search/?q=${encodeURIComponent(field.value)}`, {
      headers: { "X-Requested-With": "XMLHttpRequest" },
    });
    if (answer.ok) results.innerHTML = await answer.text();
  }, 200);
});
