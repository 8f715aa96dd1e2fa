// Cards that shut on a phone (`.fold`, styled in bulkhead.css). What is open is remembered over live renewals; a link to
// a card opens it. Wider than a phone the button is not shown and every card is open.

const open = new Set(); // ids of cards
const cards = () => document.querySelectorAll(".fold[id]");

function show() {
  for (const card of cards()) {
    const unfolded = open.has(card.id);
    card.toggleAttribute("data-unfolded", unfolded);
    card.querySelector(".fold-button").setAttribute("aria-expanded", String(unfolded));
  }
  const all = cards().length > 0 && [...cards()].every((card) => open.has(card.id));
  for (const button of document.querySelectorAll(".unfold-all")) {
    button.setAttribute("aria-pressed", String(all));
    button.textContent = all ? "Shut all" : "Open all";
  }
}

function showTarget() {
  const card = location.hash.length > 1 ? document.getElementById(decodeURIComponent(location.hash.slice(1)))?.closest(".fold") : null;
  if (!card) return;
  open.add(card.id);
  show();
  card.scrollIntoView();
}

document.addEventListener("click", (event) => {
  const all = event.target.closest(".unfold-all");
  const top = event.target.closest(".fold > .card-top");
  if (all) {
    const shut = all.getAttribute("aria-pressed") === "true";
    for (const card of cards()) shut ? open.delete(card.id) : open.add(card.id);
    show();
  } else if (top && (event.target.closest(".fold-button") || event.target.closest("h2, .fold-says")) && !event.target.closest("a, input")) {
    if (!top.querySelector(".fold-button").checkVisibility()) return;
    const { id } = top.parentElement;
    if (!open.delete(id)) open.add(id);
    show();
  }
  // The same anchor once more is no change of the address: a card that was shut meanwhile opens again.
  if (event.target.closest('a[href^="#"]')) setTimeout(showTarget);
});
window.addEventListener("hashchange", showTarget);
document.addEventListener("htmx:afterSwap", show);
show();
showTarget();
