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
