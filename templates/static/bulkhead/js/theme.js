// Light or dark before the first paint: the reader's choice, else the system's. Loaded in the head on purpose.
(() => {
  const root = document.documentElement;
  const system = window.matchMedia("(prefers-color-scheme: dark)");
  const apply = () => root.setAttribute("data-bs-theme", localStorage.getItem("theme") || (system.matches ? "dark" : "light"));
  apply();
  system.addEventListener("change", () => { apply(); document.dispatchEvent(new Event("bulkhead:theme")); });
  document.addEventListener("click", (event) => {
    if (!event.target.closest("[data-switch-theme]")) return;
    localStorage.setItem("theme", root.getAttribute("data-bs-theme") === "dark" ? "light" : "dark");
    apply();
    document.dispatchEvent(new Event("bulkhead:theme"));
  });
})();
