// Checks the numbers of a page against the chain in the reader's own browser: each is the answer of one view of one
// contract at one block. The reader's wallet asks its node; without one the calls stand there to be sent to any node.
import { format, same, uint } from "./evm.js";
import { wallets } from "./providers.js";

class Check {
  constructor(box) {
    this.box = box;
    this.asked = JSON.parse(box.querySelector("script[type='application/json']").textContent);
    this.button = box.querySelector("[data-part=wallet]");
    this.button.addEventListener("click", () => this.attempt());
    wallets((found) => {
      this.provider = found[0]?.provider;
      this.button.disabled = !this.provider;
      if (found[0]) this.button.textContent = `Ask the chain through ${found[0].info.name}`;
    });
  }

  say(text, tone) {
    const line = this.box.querySelector("[data-part=outcome]");
    line.textContent = text;
    line.className = tone ? `note note-${tone}` : "quiet";
  }

  async attempt() {
    this.button.disabled = true;
    try {
      await this.ask();
    } catch (error) {
      this.say(`The check could not be made: ${error.message ?? error}`, "bad");
    } finally {
      this.button.disabled = false;
    }
  }

  async ask() {
    const { chainId, block, blockHash, calls } = this.asked;
    const ask = (method, ...params) => this.provider.request({ method, params });
    const chain = uint(await ask("eth_chainId"));
    if (chain !== BigInt(chainId)) { this.say(`Your wallet is on chain ${chain}, not ${chainId}: switch it and ask again.`, "wait"); return; }
    const there = await ask("eth_getBlockByNumber", block, false);
    if (!there || !same(there.hash, blockHash)) { this.say(`Block ${uint(block)} is ${there?.hash ?? "not there"}, not ${blockHash}.`, "bad"); return; }
    let off = 0;
    for (const [place, { to, data, said }] of calls.entries()) {
      const answer = uint(await ask("eth_call", { to, data }, block));
      if (!this.show(place, answer, answer === BigInt(said))) off += 1;
    }
    this.say(off ? `${off} of ${calls.length} differ from what this page says.` : `All ${calls.length} are what the chain says at that block.`, off ? "bad" : "ok");
  }

  show(place, answer, holds) {
    const cell = this.box.querySelector(`[data-answer="${place}"]`), tag = document.createElement("span");
    tag.className = `tag tag-${holds ? "ok" : "bad"}`;
    tag.textContent = holds ? "holds" : "differs";
    cell.replaceChildren(tag, ` ${format(answer, this.asked.decimals)}`);
    return holds;
  }
}

for (const box of document.querySelectorAll("[data-check-calls]")) new Check(box);
