// The wallets in this browser: those that announce themselves (EIP-6963), or window.ethereum. Told as they are found.
const ANNOUNCED_WITHIN_MS = 400; // wallets answer at once; a page without any says so soon

export function wallets(onChange) {
  const found = new Map();
  const tell = () => onChange([...found.values()]);
  window.addEventListener("eip6963:announceProvider", ({ detail }) => { found.set(detail.info.uuid, detail); tell(); });
  window.dispatchEvent(new Event("eip6963:requestProvider"));
  setTimeout(() => {
    if (!found.size && window.ethereum) found.set("", { info: { uuid: "", name: "Your wallet" }, provider: window.ethereum });
    tell();
  }, ANNOUNCED_WITHIN_MS);
}
