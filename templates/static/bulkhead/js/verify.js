// Checks a margin statement in the reader's own browser: the figures against the leaf, the leaf against the root, the root
// against the chain as the reader's own wallet, or an answer the reader pasted, tells it. Nothing is sent to us. The same
// checks as `manage.py verify_statement`, in the same words. What was not checked is said to be so.
import { same, uint } from "./evm.js";
import { wallets } from "./providers.js";

const FORMAT = "bulkhead-margin-statement-1", DECIMALS = 6, LEVELS_MAX = 32, LARGEST_BYTES = 1_000_000;
const AMOUNTS = ["exposure", "independent_amount", "required", "held"];
const HASH = /^0x[0-9a-fA-F]{64}$/, ADDRESS = /^0x[0-9a-fA-F]{40}$/, WHOLE = /^-?[0-9]{1,76}$/;
const keccak = (bytes) => `0x${globalThis.keccak256(bytes)}`;
const bytesOf = (hex) => Uint8Array.from(hex.slice(2).match(/../g) ?? [], (pair) => parseInt(pair, 16));
const word = (value) => BigInt.asUintN(256, BigInt(value)).toString(16).padStart(64, "0");
const textHash = (text) => keccak(new TextEncoder().encode(text));

function brokenness(statement) {
  const { format, leaf, plain, batch, house, chain_id: chainId, proof, root } = statement ?? {};
  if (format !== FORMAT) return `its format is not ${FORMAT}`;
  if (![leaf, plain, batch].every((part) => part && typeof part === "object")) return "leaf, plain or batch is missing";
  const off = AMOUNTS.find((name) => typeof leaf[name] !== "string" || !WHOLE.test(leaf[name]) || (name !== "exposure" && leaf[name].startsWith("-")));
  if (off) return `leaf.${off} is no whole number of base units`;
  if (!ADDRESS.test(leaf.vault)) return "leaf.vault is no address";
  if (!ADDRESS.test(house)) return "house is no address";
  if (![chainId, leaf.as_of, batch.number, batch.block_number].every((value) => Number.isSafeInteger(value) && value >= 0)) return "chain_id, as_of, number or block_number is no number";
  if (!Array.isArray(proof) || proof.length > LEVELS_MAX) return "the proof is no list";
  if (![...proof, root, batch.transaction, batch.block_hash].every((value) => HASH.test(value))) return "a hash is not 0x and 64 hex digits";
  return "";
}

function amount(baseUnits) {
  const value = BigInt(baseUnits), digits = (value < 0n ? -value : value).toString().padStart(DECIMALS + 1, "0");
  return `${value < 0n ? "-" : ""}${digits.slice(0, -DECIMALS)}.${digits.slice(-DECIMALS)} USDC`;
}

function plainOf(leaf) {
  const amounts = Object.fromEntries(AMOUNTS.map((name) => [name, amount(leaf[name])]));
  return { ...amounts, as_of: new Date(leaf.as_of * 1000).toISOString().replace(".000Z", "Z") };
}

export function leafHash(leaf) {
  return keccak(bytesOf(`0x${[leaf.vault, ...AMOUNTS.map((name) => leaf[name]), leaf.as_of].map(word).join("")}`));
}

export function climb(hash, proof) {
  return proof.reduce((low, sibling) => {
    const [first, second] = [low.toLowerCase(), sibling.toLowerCase()].sort();
    return keccak(bytesOf(first + second.slice(2)));
  }, hash);
}

const found = (what, holds, said = "") => ({ what, holds, said });

function inside(statement) {
  const { leaf, plain, proof, root } = statement, written = plainOf(leaf);
  const wrong = Object.entries(written).filter(([name, text]) => plain[name] !== text);
  const reached = climb(leafHash(leaf), proof);
  return [
    found("the plain figures are those of the leaf", !wrong.length, wrong.map(([name, text]) => `${name} is ${text}, not ${plain[name]}`).join(", ")),
    found("the leaf leads to the root", same(reached, root), same(reached, root) ? "" : `it leads to ${reached}, not ${root}`),
  ];
}

function posted({ batch, house, root }, receipt) {
  const what = "the house posted that root under that number";
  if (!receipt) return found(what, false, `the chain knows no transaction ${batch.transaction}`);
  const event = textHash("BatchPosted(uint64,bytes32,bytes32,uint256)");
  const log = (receipt.logs ?? []).find((one) => same(one.address, house) && same(one.topics[0], event) && uint(one.topics[1]) === BigInt(batch.number));
  if (!log || !same(receipt.transactionHash, batch.transaction)) return found(what, false, `transaction ${receipt.transactionHash} holds no batch ${batch.number} of this house`);
  const statement = log.data.slice(0, 66);
  if (!same(statement, root)) return found(what, false, `it posted ${statement}`);
  if (!same(receipt.blockHash, batch.block_hash)) return found(what, false, `it did so in block ${receipt.blockHash}`);
  return found(what, true);
}

const OTHERS = ["the node is on the statement's chain", "the vault belongs to that house", "the block is final"];

async function byWallet(statement, provider) {
  const ask = (method, ...params) => provider.request({ method, params });
  const { batch, leaf, house, chain_id: chainId } = statement;
  const chain = uint(await ask("eth_chainId"));
  if (chain !== BigInt(chainId)) return [found(OTHERS[0], false, `your wallet is on chain ${chain}, not ${chainId}: switch it and ask again`)];
  const answer = await ask("eth_call", { to: leaf.vault, data: textHash("house()").slice(0, 10) }, "latest");
  const owner = answer.length === 66 ? `0x${answer.slice(26)}` : "no vault";
  const receipt = await ask("eth_getTransactionReceipt", batch.transaction);
  const [last, there] = await Promise.all([ask("eth_getBlockByNumber", "finalized", false), ask("eth_getBlockByNumber", `0x${batch.block_number.toString(16)}`, false)]);
  const isThere = there && same(there.hash, batch.block_hash), reached = last ? uint(last.number) : 0n;
  return [
    found(OTHERS[0], true),
    found(OTHERS[1], same(owner, house), same(owner, house) ? "" : `its house is ${owner}`),
    posted(statement, receipt),
    found(OTHERS[2], Boolean(isThere) && reached >= BigInt(batch.block_number), isThere ? (reached >= BigInt(batch.block_number) ? "" : `final blocks reach ${reached}`) : `block ${batch.block_number} is ${there?.hash ?? "not there"}`),
  ];
}

function byAnswer(statement, text) {
  const answer = JSON.parse(text), receipt = answer && "result" in answer ? answer.result : answer;
  const rest = OTHERS.map((what) => found(what, null, "a pasted answer does not say so"));
  return [posted(statement, receipt), ...rest];
}

class Checker {
  constructor(box) {
    this.box = box;
    this.statement = null;
    const given = box.querySelector("script[type='application/json']");
    this.part("file").addEventListener("click", (event) => { event.target.value = ""; }); // the same file, changed, is read again
    this.part("file").addEventListener("change", (event) => this.attempt(() => this.open(event.target.files[0])));
    this.part("wallet").addEventListener("click", () => this.attempt(() => this.askWallet()));
    this.part("paste").addEventListener("click", () => this.attempt(() => this.readAnswer()));
    wallets((announced) => { this.provider = announced[0]?.provider; this.offer(announced[0]?.info.name); });
    if (given) this.attempt(() => this.take(given.textContent));
  }

  part(name) { return this.box.querySelector(`[data-part=${name}]`); }

  offer(name) {
    this.part("wallet").disabled = !this.provider || !this.statement;
    if (name) this.part("wallet").textContent = `Ask the chain through ${name}`;
  }

  // A second answer never overtakes a first: one thing at a time.
  async attempt(work) {
    try {
      await work();
    } catch (error) {
      this.show([found("the check could be made", false, error.message ?? String(error))]);
    }
  }

  async open(file) {
    if (!file) return;
    if (file.size > LARGEST_BYTES) throw new Error("this file is larger than any statement");
    this.take(await file.text());
  }

  take(text) {
    this.statement = null;
    let read;
    try { read = JSON.parse(text); } catch { read = null; }
    const broken = brokenness(read);
    if (broken) {
      this.show([found("the file is a margin statement", false, broken)]);
    } else {
      this.statement = read;
      this.part("request").textContent = JSON.stringify({ jsonrpc: "2.0", id: 1, method: "eth_getTransactionReceipt", params: [read.batch.transaction] });
      this.show([...inside(read), found("the root is on the chain", null, "ask the chain below")]);
    }
    this.offer();
    this.part("chain").hidden = !this.statement;
  }

  async askWallet() { this.show([...inside(this.statement), ...(await byWallet(this.statement, this.provider))]); }

  readAnswer() {
    let checks;
    try { checks = byAnswer(this.statement, this.part("answer").value); } catch { throw new Error("what you pasted is no JSON answer of a node"); }
    this.show([...inside(this.statement), ...checks]);
  }

  show(checks) {
    const worst = checks.some((one) => one.holds === false) ? "refused" : checks.some((one) => one.holds === null) ? "partly" : "proved";
    this.part("verdict").replaceChildren(this.box.querySelector(`template[data-verdict=${worst}]`).content.cloneNode(true));
    this.part("checks").replaceChildren(...checks.map(({ what, holds, said }) => {
      const line = document.createElement("li"), mark = document.createElement("span"), text = document.createElement("span");
      const [tone, label] = { true: ["tag-ok", "holds"], false: ["tag-bad", "does not hold"], null: ["tag-wait", "not checked"] }[holds];
      mark.className = `tag ${tone}`;
      mark.textContent = label;
      text.textContent = ` ${what}${said ? `: ${said}` : ""}`;
      line.append(mark, text);
      return line;
    }));
    this.part("figures").replaceChildren(...(this.statement ? this.figures() : []));
  }

  figures() {
    const { leaf, batch, house } = this.statement, plain = plainOf(leaf);
    for (const name of AMOUNTS) plain[name] = plain[name].replace(/\B(?=(\d{3})+\.)/g, ",");
    const rows = { Vault: leaf.vault, "As of": plain.as_of, "Variation margin owed (negative: to you)": plain.exposure, "Independent amount": plain.independent_amount, Required: plain.required, "Held after haircut": plain.held, "Batch and block": `${batch.number}, ${batch.block_number}`, House: house };
    return Object.entries(rows).flatMap(([name, value]) => {
      const term = document.createElement("dt"), text = document.createElement("dd");
      term.textContent = name;
      text.textContent = value;
      return [term, text];
    });
  }
}

for (const box of document.querySelectorAll("[data-verify]")) new Checker(box);
