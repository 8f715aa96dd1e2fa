// Fills the SHA-256 of a chosen file into the field that its input names (data-hash-into). The file is read here and
// goes nowhere. Browsers hash on pages of https and of this machine only; elsewhere the digits are typed.

async function fill(chooser) {
  const into = document.getElementById(chooser.dataset.hashInto);
  const file = chooser.files[0];
  if (!into || !file || !crypto.subtle) return;
  const digest = await crypto.subtle.digest("SHA-256", await file.arrayBuffer());
  into.value = [...new Uint8Array(digest)].map((byte) => byte.toString(16).padStart(2, "0")).join("");
}

document.addEventListener("change", ({ target }) => {
  if (target instanceof HTMLInputElement && target.dataset.hashInto) fill(target);
});
