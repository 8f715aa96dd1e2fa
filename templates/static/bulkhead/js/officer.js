// The admin's theme switch belongs to unfold, which sets the class `dark`; our colours follow an attribute.
const root = document.documentElement;
function follow() {
  const wanted = root.classList.contains("dark") ? "dark" : "light";
  if (root.getAttribute("data-bs-theme") === wanted) return;
  root.setAttribute("data-bs-theme", wanted);
  document.dispatchEvent(new Event("bulkhead:theme"));
}
new MutationObserver(follow).observe(root, { attributes: true, attributeFilter: ["class"] });
follow();

// Paper is light, and the officer's choice comes back after it.
let wasDark = false;
window.addEventListener("beforeprint", () => { wasDark = root.classList.contains("dark"); root.classList.remove("dark"); follow(); });
window.addEventListener("afterprint", () => { root.classList.toggle("dark", wasDark); follow(); });

// unfold writes no class on the heads of a list: they follow their column, so that numbers stand under their names.
for (const row of document.querySelectorAll("#result_list tbody:first-of-type tr:first-child")) {
  const heads = row.closest("table").tHead?.rows[0]?.cells ?? [];
  [...row.cells].forEach((cell, place) => heads[place]?.classList.toggle("n", cell.className.includes("field-number-")));
}
