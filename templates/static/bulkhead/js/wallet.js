// A person's own wallet on our pages: found by EIP-6963 (or as window.ethereum), spoken to by EIP-1193. Pages use
// it to send a deposit or notes, to follow a deposit until it is credited, to prove another address, to pay (pay.js). What it says to the reader stands
// in the page's templates. No key is ever here, and whatever goes wrong, a plain transfer does the same.
import { TRANSFERRED, balanceData, format, same, topicOf, transferData, uint } from "./evm.js";
import { wallets } from "./providers.js";

const REJECTED = 4001, DISCONNECTED = 4900;
const LOOK_AGAIN_MS = 1000;
const UNKNOWN_LOOKS = 15; // so long a node may not have heard of a transaction that was sent through another

// The part of a page that talks to the wallet: which one, which address, what to say.
export class Panel {
  constructor(box) {
    this.box = box;
    this.wallet = null;
    this.busy = false;
    box.addEventListener("click", (event) => {
      const act = event.target.closest("[data-act]")?.dataset.act;
      if (act && !this.busy) this.attempt(() => this[act]());
    });
    this.choice("wallet").addEventListener("change", () => { this.use(this.choice("wallet").value); });
    this.choice("account").addEventListener("change", () => this.attempt(() => this.look()));
    wallets((found) => this.offer(found));
  }

  choice(name) { return this.box.querySelector(`[data-choice=${name}] select`); }

  // Fill a choice and hide it while there is nothing to choose.
  fill(name, options) {
    const select = this.choice(name), before = select.value;
    select.replaceChildren(...options.map(([value, label]) => new Option(label, value, false, value === before)));
    select.closest(".field").hidden = options.length < 2;
  }

  show(state, values = {}) {
    const shown = this.box.querySelector(`template[data-state=${state}]`).content.cloneNode(true);
    const known = { wallet: this.wallet?.info.name, account: this.box.querySelector("#which-account")?.value };
    for (const [key, value] of Object.entries({ ...known, ...values })) {
      for (const place of shown.querySelectorAll(`[data-fill=${key}]`)) place.textContent = value;
    }
    this.box.querySelector("[data-status]").replaceChildren(shown);
  }

  offer(found) {
    this.found = new Map(found.map((one) => [one.info.uuid, one]));
    if (!found.length) { this.show("none"); return; }
    this.fill("wallet", found.map((one) => [one.info.uuid, one.info.name]));
    if (this.wallet?.info.uuid !== this.choice("wallet").value) this.use(this.choice("wallet").value);
  }

  use(uuid) {
    this.wallet = this.found.get(uuid);
    for (const event of ["accountsChanged", "chainChanged"]) this.wallet.provider.on?.(event, () => this.attempt(() => this.look()));
    this.attempt(() => this.look());
  }

  request(method, ...params) { return this.wallet.provider.request({ method, params }); }

  async attempt(work) {
    if (this.busy) return;
    this.busy = true;
    try {
      await work();
    } catch (error) {
      if (error.code === REJECTED) this.show("rejected");
      else if (error.code === DISCONNECTED) this.show("unreachable");
      else this.show("failed", { message: error.message ?? String(error) });
    } finally {
      this.busy = false;
    }
  }

  // Shows what stands in the way, if anything, and returns the chosen address when nothing does.
  async account(chainId, usable = () => true) {
    const accounts = await this.request("eth_accounts");
    if (!accounts.length) { this.show("connect"); return null; }
    const chain = await this.request("eth_chainId");
    if (uint(chain) !== uint(chainId)) { this.show("wrong-chain", { chain: uint(chain) }); return null; }
    const possible = accounts.filter(usable);
    this.fill("account", possible.map((one) => [one, one]));
    return possible.length ? this.choice("account").value : "";
  }

  async connect() { await this.request("eth_requestAccounts"); await this.look(); }

  async switch() { await this.request("wallet_switchEthereumChain", { chainId: this.chainId }); await this.look(); }
}

class Deposit extends Panel {
  get asked() { return JSON.parse(this.box.querySelector("#asked").textContent); }
  get chainId() { return this.asked.chainId; }

  async look() {
    const { chainId, token, amount, decimals, code, proved } = this.asked;
    const button = this.box.querySelector("[data-act=send]");
    button.disabled = true;
    const account = await this.account(chainId);
    if (!account) return null;
    if (!proved.some((one) => same(one, account))) { this.show("not-proved"); return null; }
    const held = uint(await this.request("eth_call", { to: token, data: balanceData(account) }, "latest"));
    const balance = `${format(held, decimals)} ${code}`;
    if (held < BigInt(amount)) { this.show("too-few", { balance }); return null; }
    this.show("ready", { balance });
    button.disabled = false;
    return account;
  }

  async send() {
    const { chainId, token, vault, amount, sentUrl } = this.asked;
    const account = await this.look();
    if (!account) return;
    this.show("asking");
    const hash = await this.request("eth_sendTransaction", { from: account, to: token, value: "0x0", data: transferData(vault, amount), chainId });
    this.box.querySelector("[data-act=send]").disabled = true;
    this.show("sent");
    location.replace(sentUrl.replace("HASH", hash.toLowerCase())); // going back must not offer to send it again
  }
}

class Proof extends Panel {
  get asked() { return JSON.parse(this.box.querySelector("#proof").textContent); }
  get chainId() { return this.asked.chainId; }

  async look() {
    const { chainId, proved } = this.asked;
    const button = this.box.querySelector("[data-act=prove]");
    button.disabled = true;
    const account = await this.account(chainId, (one) => !proved.some((known) => same(known, one)));
    if (account === "") this.show("all-proved");
    if (!account) return null;
    this.show("ready");
    button.disabled = false;
    return account;
  }

  async prove() {
    const account = await this.look();
    if (!account) return;
    const { message } = this.asked, form = this.box.querySelector("form");
    this.show("asking");
    message.message.wallet = account;
    form.elements.signature.value = await this.request("eth_signTypedData_v4", account, JSON.stringify(message));
    form.elements.address.value = account;
    form.submit();
  }
}

// Follows one transaction: sent, in a block, final, credited. Asks the wallet's node for the first three, us for the last.
class Follow {
  constructor(box) {
    this.box = box;
    this.asked = JSON.parse(box.querySelector("#follow").textContent);
    this.looks = 0;
    this.provider = null;
    wallets((found) => {
      if (!found.length) this.show("none");
      else if (!this.provider) { this.provider = found[0].provider; this.keepLooking(); }
    });
  }

  show(state, values) { Panel.prototype.show.call(this, state, values); }

  step(name, state, note) {
    const step = this.box.querySelector(`[data-step=${name}]`);
    step.className = state;
    if (note) step.querySelector("[data-note]").textContent = note;
  }

  async keepLooking() {
    let done = false;
    try {
      done = await this.look();
    } catch {
      this.show("unreachable"); // asking again is all that can be done; nothing depends on it
    }
    if (!done) setTimeout(() => this.keepLooking(), LOOK_AGAIN_MS);
  }

  // True when there is nothing more to wait for.
  async look() {
    const ask = (method, ...params) => this.provider.request({ method, params });
    const chain = await ask("eth_chainId");
    if (uint(chain) !== uint(this.asked.chainId)) { this.show("wrong-chain", { chain: uint(chain) }); return false; }
    const receipt = await ask("eth_getTransactionReceipt", this.asked.hash);
    if (!receipt) {
      this.looks += 1;
      const known = await ask("eth_getTransactionByHash", this.asked.hash);
      if (!known && this.looks > UNKNOWN_LOOKS) this.show("unknown");
      else this.box.querySelector("[data-status]").replaceChildren();
      this.step("sent", known ? "done" : "now");
      this.step("mined", known ? "now" : "", "Waiting for a block.");
      return false;
    }
    this.step("sent", "done");
    if (uint(receipt.status) === 0n) { this.step("mined", "bad", "The call failed."); this.show("reverted"); return true; }
    const log = receipt.logs.find((one) => this.vaultOf(one));
    if (!log) { this.step("mined", "bad", "No transfer to a vault of yours is in it."); this.show("elsewhere"); return true; }
    this.box.querySelector("[data-status]").replaceChildren();
    return this.lookAtBlock(uint(receipt.blockNumber), log, ask);
  }

  vaultOf(log) {
    return this.asked.vaults.find((one) => same(one.token, log.address) && log.topics[0] === TRANSFERRED && same(log.topics[2], topicOf(one.address)));
  }

  async lookAtBlock(number, log, ask) {
    this.step("mined", "done", `Block ${number.toLocaleString("en")}.`);
    const last = await ask("eth_getBlockByNumber", "finalized", false);
    const finalized = last ? uint(last.number) : 0n;
    if (finalized < number) {
      this.step("final", "now", `Final blocks reach ${finalized.toLocaleString("en")}; ${(number - finalized).toLocaleString("en")} to go.`);
      return false;
    }
    this.step("final", "done", "The chain can no longer take it back.");
    const answer = await fetch(`${this.asked.stateUrl}${Number(log.logIndex)}/`, { headers: { Accept: "application/json" } });
    const state = await answer.json();
    if (!state.booked) { this.step("credited", "now", "The ledger reads the final block."); return false; }
    const { decimals } = this.vaultOf(log);
    this.step("credited", "done", state.counts ? "Booked as margin." : "Booked in suspense.");
    this.show(state.counts ? "credited" : "suspense", { amount: `${format(BigInt(state.amountBaseUnits), decimals)} ${state.asset}` });
    return true;
  }
}

const KINDS = { deposit: Deposit, prove: Proof, follow: Follow };
for (const box of document.querySelectorAll("[data-wallet]")) new KINDS[box.dataset.wallet](box);
