// Small things a reader presses: copy buttons, drawers, printing. Listeners sit on the document, so that renewed parts
// of a page need no set-up of their own.

document.addEventListener("click", async (event) => {
  const copy = event.target.closest("[data-copy]");
  if (copy) {
    await navigator.clipboard.writeText(copy.dataset.copy);
    copy.classList.add("copied");
    setTimeout(() => copy.classList.remove("copied"), 1500);
  }
  const opens = event.target.closest("[data-opens]");
  if (opens) document.getElementById(opens.dataset.opens).showModal();
  const shuts = event.target.closest("[data-shuts]") || (event.target.matches("dialog.drawer") ? event.target : null);
  if (shuts) shuts.closest("dialog").close();
  if (event.target.closest("[data-print]")) window.print();
});
