// The little of Ethereum's encoding that a page needs: words of 32 bytes, a token transfer, a balance, amounts to read.

export const TRANSFER = "0xa9059cbb"; // transfer(address,uint256)
export const TRANSFERRED = "0xddf252ad1be2c89b69c2b068fc378daa952ba7f163c4a11628f55a4df523b3ef"; // Transfer(address,address,uint256)
const BALANCE_OF = "0x70a08231"; // balanceOf(address)

const word = (hex) => hex.replace(/^0x/, "").toLowerCase().padStart(64, "0");
export const uint = (hex) => BigInt(hex.startsWith("0x") ? hex : `0x${hex}`);
export const same = (a, b) => a.toLowerCase() === b.toLowerCase();
export const topicOf = (address) => `0x${word(address)}`;
export const transferData = (to, amount) => TRANSFER + word(to) + word(BigInt(amount).toString(16));
export const balanceData = (of) => BALANCE_OF + word(of);

// Base units as people read them: 1,234.50; exact, at least two decimals.
export function format(amount, decimals) {
  const digits = amount.toString().padStart(decimals + 1, "0");
  const whole = digits.slice(0, digits.length - decimals).replace(/\B(?=(\d{3})+$)/g, ",");
  return `${whole}.${digits.slice(digits.length - decimals).replace(/0+$/, "").padEnd(2, "0")}`;
}

// A returned string: offset, length, bytes.
export function text(hex) {
  const length = Number(uint(hex.slice(66, 130)));
  const bytes = hex.slice(130, 130 + 2 * length).match(/../g) ?? [];
  return new TextDecoder().decode(Uint8Array.from(bytes, (byte) => parseInt(byte, 16)));
}
