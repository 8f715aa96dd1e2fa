"""One step of an act: a call by one key to one contract, and how the chain shows that it was made. Sends nothing."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from settlement import role_table
from settlement.bindings import contract
from settlement.chain import Chain, ChainRefused

Made = dict[str, str]  # label of a step that makes a contract -> its address


@dataclass(frozen=True)
class Check:
    """A view of a contract, and whether what it says means that the step was made."""

    name: str
    address: str
    function: str
    arguments: tuple[Any, ...]
    holds: Callable[[Any], bool]

    def is_so(self, chain: Chain, block: int | str) -> bool:
        """Whether it holds at this block; where there is no contract yet, or it refuses to say, it does not."""
        bound = contract(self.name)
        try:
            answer = chain.eth_call(self.address, bound.encode(self.function, self.arguments), block)
        except ChainRefused as error:
            if not error.revert_data and "revert" not in error.message.lower():
                raise  # the node's own trouble, not the contract's answer
            return False
        return bool(answer) and self.holds(bound.decode_result(self.function, answer))


@dataclass(frozen=True)
class Step:
    """One call. `to` is empty where it makes the contract `name`; `label` is its own within its act."""

    label: str
    key: str
    name: str
    to: str
    function: str
    arguments: tuple[Any, ...]
    done: tuple[Check, ...] = ()

    @property
    def makes(self) -> bool:
        """Whether it makes a contract."""
        return not self.to

    @property
    def is_restricted(self) -> bool:
        """Whether a role must allow it, perhaps under a delay."""
        if self.makes:
            return False
        try:
            rows = role_table.rows(self.name)
        except KeyError:  # open to anyone, or the administrator's own
            return False
        return any(contract(self.name).selector(self.function) in row.selectors for row in rows)

    def calldata(self) -> bytes:
        """What is sent."""
        bound = contract(self.name)
        return bound.creation(self.arguments) if self.makes else bound.encode(self.function, self.arguments)


@dataclass(frozen=True)
class Wait:
    """Something that is not ours to do now."""

    label: str
    said: str


Steps = Iterator[Step | Wait]


def says(name: str, address: str, function: str, *arguments: Any, wanted: Any) -> Check:
    """The view says exactly this."""
    return Check(name, address, function, arguments, lambda found: bool(found == wanted))


def at_least(name: str, address: str, function: str, *arguments: Any, wanted: int) -> Check:
    """The view says this number or a higher one."""
    return Check(name, address, function, arguments, lambda found: bool(found >= wanted))


def wiring(manager: str, target: str, name: str, about: str) -> Iterator[Step]:
    """Each restricted function of a new contract to its role, as the suite's table says; the administrator's to do."""
    labels = {role.id: role.label for role in role_table.roles()}
    for row in role_table.rows(name):
        yield Step(
            label=f"give {about} to {labels[row.role]}",
            key="admin",
            name="AccessManager",
            to=manager,
            function="setTargetFunctionRole",
            arguments=(target, list(row.selectors), row.role),
            done=tuple(
                says("AccessManager", manager, "getTargetFunctionRole", target, one, wanted=row.role)
                for one in row.selectors
            ),
        )


def addresses_of(steps: Sequence[Step], made: Made) -> list[str]:
    """Addresses of the contracts that these steps have made, in their order."""
    return [made[step.label] for step in steps if step.makes and step.label in made]
