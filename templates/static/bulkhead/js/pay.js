// Pays for allocated notes with the reader's own wallet: an approval of exactly the amount, then the swap in the escrow,
// which takes the cash and delivers the notes, or neither. Where the bid rolls old notes, what those have repaid is claimed
// to the wallet first. Calls come made out from the page; the wallet shows them. What stands on chain already is left out.
import { balanceData, format, same, uint } from "./evm.js";
import { Panel } from "./wallet.js";

const LOOK_AGAIN_MS = 1000;

class Pay extends Panel {
  get asked() { return JSON.parse(this.box.querySelector("#asked").textContent); }
  get chainId() { return this.asked.chainId; }

  async look() {
    const { chainId, escrow, amount, decimals, wallet, allotment } = this.asked;
    const button = this.box.querySelector("[data-act=pay]");
    button.disabled = true;
    const account = await this.account(chainId, (one) => same(one, wallet));
    if (account === "") this.show("other-wallet");
    if (!account) return null;
    const allotted = await this.number(escrow, allotment);
    if (allotted < BigInt(amount)) { this.show("not-allotted", { allotted: format(allotted, decimals) }); return null; }
    if (!(await this.enough(account, await this.claimable()))) return null;
    button.disabled = false;
    return account;
  }

  async number(to, data) { return uint(await this.request("eth_call", { to, data }, "latest")); }

  // What the old escrows pay the wallet when they are asked, in all.
  async claimable() {
    let sum = 0n;
    for (const one of this.asked.claims) sum += await this.number(one.note, one.claimable);
    return sum;
  }

  // Says whether the wallet holds or can claim what is to be paid, and what of it is new money.
  async enough(account, claimable) {
    const { token, amount, decimals, code } = this.asked, due = BigInt(amount);
    const held = await this.number(token, balanceData(account));
    const bring = claimable < due ? due - claimable : 0n;
    const said = (units) => `${format(units, decimals)} ${code}`;
    const figures = { balance: said(held), claimable: said(claimable), bring: said(bring), missing: said(bring > held ? bring - held : 0n) };
    this.show(held < bring ? "too-few" : "ready", figures);
    return held >= bring;
  }

  async pay() {
    const { token, escrow, amount, approve, subscribe, allowance, claims, paidUrl } = this.asked;
    const account = await this.look();
    if (!account) return;
    for (const one of claims) {
      if (await this.number(one.note, one.claimable)) await this.send(account, one.escrow, one.claim, "claiming", { symbol: one.symbol });
    }
    if (!(await this.enough(account, 0n))) return;
    if (await this.number(token, allowance) < BigInt(amount)) await this.send(account, token, approve, "approving");
    await this.send(account, escrow, subscribe);
    this.box.querySelector("[data-act=pay]").disabled = true;
    this.show("paid");
    location.replace(paidUrl);
  }

  // Asks the wallet for one transaction; where there is something to say meanwhile, waits for its block.
  async send(account, to, data, meanwhile, figures) {
    this.show("asking");
    const hash = await this.request("eth_sendTransaction", { from: account, to, value: "0x0", data, chainId: this.chainId });
    if (!meanwhile) return;
    this.show(meanwhile, figures);
    await this.mined(hash);
  }

  async mined(hash) {
    for (;;) {
      const receipt = await this.request("eth_getTransactionReceipt", hash);
      if (receipt && uint(receipt.status) === 0n) throw new Error("the call failed on chain");
      if (receipt) return;
      await new Promise((done) => { setTimeout(done, LOOK_AGAIN_MS); });
    }
  }
}

for (const box of document.querySelectorAll("[data-pay]")) new Pay(box);
