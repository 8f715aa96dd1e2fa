// Light or dark before the first paint: the reader's choice, else the system's. Loaded in the head on purpose.
(() => {
  const root = document.documentElement;
  const system = window.matchMedia("(prefers-color-scheme: dark)");
  const apply = () => root.setAttribute("data-bs-theme", localStorage.getItem("theme") || (system.matches ? "dark" : "light"));
  apply();
  system.addEventListener("change", () => { apply(); document.dispatchEvent(new Event("bulkhead:theme")); });
  // Paper is light: the styles see to that, drawings are made anew.
  const redraw = () => document.dispatchEvent(new Event("bulkhead:theme"));
  window.addEventListener("beforeprint", () => { root.setAttribute("data-bs-theme", "light"); redraw(); });
  window.addEventListener("afterprint", () => { apply(); redraw(); });
  document.addEventListener("click", (event) => {
    if (!event.target.closest("[data-switch-theme]")) return;
    localStorage.setItem("theme", root.getAttribute("data-bs-theme") === "dark" ? "light" : "dark");
    apply();
    document.dispatchEvent(new Event("bulkhead:theme"));
  });
})();
