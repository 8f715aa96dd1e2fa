// Seals a bid in the bidder's own browser and opens it again. The amounts stand in fields without names, so a form cannot
// send them; what is sent while the book is open is the SHA-256 of the opening. The opening stays in this browser's storage
// and in the file that the bidder saves: nobody else has it. The same text as `bonds/offering/sealing.py` makes.
//   <form data-seal data-series data-note data-party data-denomination data-decimals>   seals, then sends the commitment
//   <form data-reveal data-commitment data-decimals>                                    sends the opening and its nonce

const FORMAT = "bulkhead-bid-1", KEY = "bulkhead-bid:", SPREAD_MAX = 10_000, STEPS_MAX = 20;
const hex = (bytes) => [...bytes].map((byte) => byte.toString(16).padStart(2, "0")).join("");
const random = () => hex(crypto.getRandomValues(new Uint8Array(32)));
const sha256 = async (text) => hex(new Uint8Array(await crypto.subtle.digest("SHA-256", new TextEncoder().encode(text))));

// Keys in alphabetical order and no white space: canonical JSON.
export const openingText = ({ bidder, ladder, minimumFill, note, salt, series }) => JSON.stringify({
  bidder, format: FORMAT, ladder: ladder.map(({ amount, spread }) => ({ amount: String(amount), spread_bps: spread })), minimum_fill: String(minimumFill), note, salt, series,
});
export const bidderOf = (party, nonce) => sha256(`bulkhead-bidder-1:${party}:${nonce}`);

function baseUnits(text, decimals) {
  const found = /^([0-9]+)(?:\.([0-9]*))?$/.exec(text.replaceAll(",", "").replaceAll(" ", ""));
  if (!found || (found[2] ?? "").length > decimals) return null;
  return BigInt(found[1] + (found[2] ?? "").padEnd(decimals, "0"));
}

function whole(amount, decimals) {
  const digits = String(amount).padStart(decimals + 1, "0");
  const rest = digits.slice(-decimals).replace(/0+$/, "");
  return digits.slice(0, -decimals).replace(/\B(?=(\d{3})+$)/g, ",") + (rest ? `.${rest}` : "");
}

function say(form, text) {
  const place = form.querySelector("[data-problem]");
  place.textContent = text;
  place.hidden = !text;
}

// The ladder that stands in the form, or a sentence that says what is wrong with it.
export function readLadder(rows, minimum, denomination, decimals) {
  const ladder = [];
  for (const [spreadText, amountText] of rows) {
    if (!spreadText && !amountText) continue;
    const amount = baseUnits(amountText, decimals);
    if (!/^[0-9]{1,5}$/.test(spreadText) || Number(spreadText) > SPREAD_MAX) return `A spread is a whole number of basis points from 0 to ${SPREAD_MAX.toLocaleString("en")}.`;
    if (amount === null || amount <= 0n || amount % denomination) return `Each amount is a multiple of ${whole(denomination, decimals)} USDC.`;
    ladder.push({ spread: Number(spreadText), amount });
  }
  ladder.sort((one, other) => one.spread - other.spread);
  if (!ladder.length) return "State at least one step: a spread and an amount.";
  if (ladder.length > STEPS_MAX) return `A ladder has at most ${STEPS_MAX} steps.`;
  if (new Set(ladder.map((step) => step.spread)).size < ladder.length) return "Each step has a spread of its own.";
  const minimumFill = minimum ? baseUnits(minimum, decimals) : 0n;
  if (minimumFill === null || minimumFill % denomination) return `The minimum fill is a multiple of ${whole(denomination, decimals)} USDC.`;
  if (minimumFill > ladder.reduce((sum, step) => sum + step.amount, 0n)) return "The minimum fill is more than the whole bid.";
  return { ladder, minimumFill };
}

const summary = ({ ladder, minimum_fill: minimum }, decimals) =>
  `${ladder.map((step) => `${whole(step.amount, decimals)} USDC at ${step.spread_bps} bp or more`).join("; then ")}${minimum === "0" ? "" : `; at least ${whole(minimum, decimals)} USDC or nothing`}`;

function keep(commitment, kept) {
  try { localStorage.setItem(KEY + commitment, kept); } catch { /* the file is the other copy, and must be saved then */ }
}

function kept(commitment) {
  try { return localStorage.getItem(KEY + commitment); } catch { return null; }
}

async function seal(form) {
  const { series, note, party, decimals } = form.dataset;
  const rows = [...form.querySelectorAll("[data-step]")].map((row) => [row.querySelector("[data-spread]").value.trim(), row.querySelector("[data-amount]").value.trim()]);
  const found = readLadder(rows, form.querySelector("[data-minimum]").value.trim(), BigInt(form.dataset.denomination), Number(decimals));
  if (typeof found === "string") return say(form, found);
  if (!crypto.subtle) return say(form, "This browser seals bids on pages of https and of this machine only.");
  say(form, "");
  const nonce = random(), bidder = await bidderOf(party, nonce);
  const opening = openingText({ bidder, ladder: found.ladder, minimumFill: found.minimumFill, note, salt: random(), series });
  const commitment = await sha256(opening), file = JSON.stringify({ commitment, nonce, opening }, null, 1);
  keep(commitment, file);
  form.elements.commitment.value = commitment;
  form.querySelector("[data-summary]").textContent = summary(JSON.parse(opening), Number(decimals));
  const shown = form.querySelector("[data-commitment]"); // as digests are shown elsewhere; the file has all of it
  [shown.textContent, shown.title] = [`${commitment.slice(0, 8)}…${commitment.slice(-6)}`, commitment];
  const link = form.querySelector("[data-save]");
  link.href = URL.createObjectURL(new Blob([file], { type: "application/json" }));
  link.download = `${note}-${commitment.slice(0, 8)}-bid.json`;
  form.querySelector("[data-sealed]").hidden = false;
  form.querySelector("[data-send]").disabled = true;
  link.focus();
}

async function open(form, text) {
  const { commitment, decimals } = form.dataset;
  let read;
  try { read = JSON.parse(text); } catch { return say(form, "This file is no saved bid."); }
  if (typeof read?.opening !== "string" || typeof read?.nonce !== "string") return say(form, "This file is no saved bid.");
  if (!crypto.subtle || (await sha256(read.opening)) !== commitment) return say(form, "This is not the bid that you sealed: its hash is another. Choose the file that was saved with it.");
  say(form, "");
  form.elements.opening.value = read.opening;
  form.elements.nonce.value = read.nonce;
  form.querySelector("[data-summary]").textContent = summary(JSON.parse(read.opening), Number(decimals));
  form.querySelector("[data-found]").hidden = false;
  form.querySelector("[data-send]").disabled = false;
}

document.addEventListener("click", ({ target }) => {
  const form = target.closest?.("form[data-seal]");
  if (!form) return;
  if (target.closest("[data-do-seal]")) seal(form);
  if (target.closest("[data-save]")) form.querySelector("[data-send]").disabled = false;
  if (target.closest("[data-more]")) {
    const last = [...form.querySelectorAll("[data-step]")].at(-1), next = last.cloneNode(true);
    next.querySelectorAll("input").forEach((field) => { field.value = ""; });
    last.after(next);
  }
});

// What was sealed is what stands in the form: a change needs a new seal.
document.addEventListener("input", ({ target }) => {
  const form = target.closest?.("form[data-seal]");
  if (!form || !target.closest("[data-step], [data-minimum]")) return;
  form.querySelector("[data-sealed]").hidden = true;
  form.querySelector("[data-send]").disabled = true;
  form.elements.commitment.value = "";
});

document.addEventListener("change", async ({ target }) => {
  const form = target.closest?.("form[data-reveal]");
  if (form && target.matches("[data-file]") && target.files[0]) open(form, await target.files[0].text());
});

// A press before this script runs would do nothing and say nothing.
document.querySelectorAll("[data-do-seal]").forEach((button) => { button.disabled = false; });

for (const form of document.querySelectorAll("form[data-reveal]")) {
  const found = kept(form.dataset.commitment);
  if (found) open(form, found);
  else say(form, "This browser does not have the bid. Choose the file that you saved when you sealed it.");
}
