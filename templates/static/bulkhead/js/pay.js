// Pays for allocated notes with the reader's own wallet: an approval of exactly the amount, then the swap in the escrow,
// which takes the cash and delivers the notes, or neither. Calls come made out from the page; the wallet shows them.
import { balanceData, format, same, uint } from "./evm.js";
import { Panel } from "./wallet.js";

const LOOK_AGAIN_MS = 1000;

class Pay extends Panel {
  get asked() { return JSON.parse(this.box.querySelector("#asked").textContent); }
  get chainId() { return this.asked.chainId; }

  async look() {
    const { chainId, token, escrow, amount, decimals, code, wallet, allotment } = this.asked;
    const button = this.box.querySelector("[data-act=pay]");
    button.disabled = true;
    const account = await this.account(chainId, (one) => same(one, wallet));
    if (account === "") this.show("other-wallet");
    if (!account) return null;
    const allotted = uint(await this.request("eth_call", { to: escrow, data: allotment }, "latest"));
    if (allotted < BigInt(amount)) { this.show("not-allotted", { allotted: format(allotted, decimals) }); return null; }
    const held = uint(await this.request("eth_call", { to: token, data: balanceData(account) }, "latest"));
    const balance = `${format(held, decimals)} ${code}`;
    if (held < BigInt(amount)) { this.show("too-few", { balance }); return null; }
    this.show("ready", { balance });
    button.disabled = false;
    return account;
  }

  async pay() {
    const { chainId, token, escrow, approve, subscribe, paidUrl } = this.asked;
    const account = await this.look();
    if (!account) return;
    this.show("asking");
    const approved = await this.request("eth_sendTransaction", { from: account, to: token, value: "0x0", data: approve, chainId });
    this.show("approving");
    await this.mined(approved);
    await this.request("eth_sendTransaction", { from: account, to: escrow, value: "0x0", data: subscribe, chainId });
    this.box.querySelector("[data-act=pay]").disabled = true;
    this.show("paid");
    location.replace(paidUrl);
  }

  async mined(hash) {
    for (;;) {
      const receipt = await this.request("eth_getTransactionReceipt", hash);
      if (receipt && uint(receipt.status) === 0n) throw new Error("the approval failed on chain");
      if (receipt) return;
      await new Promise((done) => { setTimeout(done, LOOK_AGAIN_MS); });
    }
  }
}

for (const box of document.querySelectorAll("[data-pay]")) new Pay(box);
