// Takes coupons and repaid principal out of the escrows with the reader's own wallet. Calls come made out from the page,
// one for each class and wallet; the contract is asked which of them have something, and those are sent.
import { format, uint } from "./evm.js";
import { Panel } from "./wallet.js";

class TakeOut extends Panel {
  get asked() { return JSON.parse(this.box.querySelector("#asked").textContent); }
  get chainId() { return this.asked.chainId; }

  async look() {
    const { chainId, calls, code, decimals } = this.asked;
    const button = this.box.querySelector("[data-act=take]");
    button.disabled = true;
    const account = await this.account(chainId);
    if (!account) return null;
    let total = 0n;
    const due = [];
    for (const one of calls) {
      const waits = uint(await this.request("eth_call", { to: one.note, data: one.claimable }, "latest"));
      if (waits > 0n) due.push(one);
      total += waits;
    }
    if (!due.length) { this.show("nothing"); return null; }
    this.show("ready", { amount: `${format(total, decimals)} ${code}`, count: due.length === 1 ? "one transaction" : `${due.length} transactions` });
    button.disabled = false;
    return { account, due };
  }

  async take() {
    const { chainId, sentUrl } = this.asked;
    const found = await this.look();
    if (!found) return;
    this.show("asking");
    let hash = "";
    for (const one of found.due) hash = await this.request("eth_sendTransaction", { from: found.account, to: one.escrow, value: "0x0", data: one.claim, chainId });
    this.box.querySelector("[data-act=take]").disabled = true;
    this.show("sent");
    location.replace(sentUrl.replace("HASH", hash.toLowerCase()));
  }
}

for (const box of document.querySelectorAll("[data-take-out]")) new TakeOut(box);
