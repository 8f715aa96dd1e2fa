// The demo's wallet as a provider in the page (EIP-1193, announced by EIP-6963). The keys lie in a process of their own
// that signs over loopback HTTP; this script asks the person first, as any wallet does, and says no when they do.
import { TRANSFER, format, text, uint } from "./evm.js";

const url = document.querySelector("meta[name=demo-wallet]").content;
const REJECTED = 4001, DISCONNECTED = 4900, DECIMALS = "0x313ce567", SYMBOL = "0x95d89b41";
const info = { uuid: "3d5cbf5e-52c7-4c1b-8f5f-1f0f5f6f7a10", name: "Demo wallet", icon: "data:image/svg+xml,<svg xmlns='http://www.w3.org/2000/svg'/>", rdns: "local.bulkhead.demo" };

class ProviderError extends Error {
  constructor(code, message, data) { super(message); Object.assign(this, { code, data }); }
}

async function ask(method, params = []) {
  let answer;
  try {
    const response = await fetch(url, { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify({ jsonrpc: "2.0", id: 1, method, params }) });
    answer = await response.json();
  } catch {
    throw new ProviderError(DISCONNECTED, "The demo wallet does not answer.");
  }
  if (answer.error) throw new ProviderError(answer.error.code, answer.error.message, answer.error.data);
  return answer.result;
}

function node(name, content, className) {
  const made = document.createElement(name);
  if (className) made.className = className;
  made.append(...[content].flat());
  return made;
}

// Resolves when the person confirms; closing the window in any other way is a no.
function consent(title, facts, confirm) {
  return new Promise((resolve, reject) => {
    const form = node("form", [
      node("button", "Reject", "btn btn-plain"),
      Object.assign(node("button", confirm, "btn btn-primary"), { value: "yes" }),
    ], "acts");
    form.method = "dialog";
    const list = node("dl", Object.entries(facts).flatMap(([name, value]) => [node("dt", name), node("dd", value)]), "facts");
    const box = node("dialog", [node("p", "Demo wallet", "label"), node("h2", title), list, form], "demo-wallet");
    box.setAttribute("aria-label", `Demo wallet: ${title}`);
    box.addEventListener("close", () => {
      box.remove();
      if (box.returnValue === "yes") resolve();
      else reject(new ProviderError(REJECTED, "The person rejected the request."));
    });
    document.body.append(box);
    box.showModal();
  });
}

async function consentToTransaction(asked) {
  const data = asked.data ?? "0x";
  const facts = { From: asked.from, "To contract": asked.to, Chain: String(Number(await ask("eth_chainId"))) };
  if (!data.startsWith(TRANSFER) || data.length !== 138) return consent("Send a transaction?", { ...facts, Data: data }, "Send");
  const [decimals, symbol] = await Promise.all([DECIMALS, SYMBOL].map((call) => ask("eth_call", [{ to: asked.to, data: call }, "latest"])));
  const amount = `${format(uint(data.slice(74)), Number(decimals))} ${text(symbol)}`;
  return consent(`Send ${amount}?`, { ...facts, "To address": `0x${data.slice(34, 74)}`, Amount: amount }, "Send");
}

function consentToText([, message]) {
  const typed = typeof message === "string" ? JSON.parse(message) : message;
  const facts = { From: typed.domain.name, Kind: typed.primaryType };
  return consent("Sign this text?", { ...facts, ...typed.message }, "Sign");
}

const provider = {
  async request({ method, params = [] }) {
    if (method === "eth_sendTransaction") await consentToTransaction(params[0]);
    if (method === "eth_signTypedData_v4") await consentToText(params);
    return ask(method, params);
  },
  // Its accounts and its chain never change, so there is nothing to tell.
  on() {},
  removeListener() {},
};

const announce = () => window.dispatchEvent(new CustomEvent("eip6963:announceProvider", { detail: Object.freeze({ info, provider }) }));
window.addEventListener("eip6963:requestProvider", announce);
announce();
